"""How strongly a caption steers sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.queries.given import Null
from leakfront.attacks.queries.prompts import length
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


@dataclass(frozen=True)
class PromptMagnitudes:
    """||eps_theta(x_t, t, c) - eps_theta(x_t, t, null)||_2, the mean over `draws` of x_T: "magnitudes" [N, S].

    S: the first of the `steps` of deterministic DDIM alone, or with `all_steps` each of them, with `guidance`.
    """

    steps: int
    guidance: float
    draws: int
    all_steps: bool

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        import torch

        if self.steps > queries.timesteps:
            raise InputError(f"steps is {self.steps}; the model has {queries.timesteps} timesteps")
        return {"magnitudes": torch.stack([self._of(queries, draw) for draw in range(self.draws)]).mean(0)}

    def _of(self, queries: Queries, draw: int) -> torch.Tensor:
        """The magnitudes from one x_T, [N, S]."""
        import torch

        spacing = queries.timesteps // self.steps
        levels = [i * spacing for i in reversed(range(self.steps))]
        given, without = (queries.prompt_prediction(draw, levels[0], which) for which in (None, Null()))
        found, x = [length(given - without)], queries.start(draw)
        for here, there in zip(levels, levels[1:] if self.all_steps else [], strict=False):
            x = _moved(queries, x, without + self.guidance * (given - without), here, there)
            given, without = queries.predict(x, there), queries.predict(x, there, Null())
            found.append(length(given - without))
        return torch.stack(found, dim=1)


def _moved(queries: Queries, x: torch.Tensor, noise: torch.Tensor, here: int, there: int) -> torch.Tensor:
    """A step of deterministic DDIM, whose predicted x_0 is clipped to [-1, 1] if it is an image, as samplers do it."""
    if not queries.in_pixels:
        return queries.ddim_step(x, noise, here, there)
    alpha_bar = queries.alphas_cumprod
    x_0 = ((x - (1 - alpha_bar[here]).sqrt() * noise) / alpha_bar[here].sqrt()).clamp(-1, 1)
    return alpha_bar[there].sqrt() * x_0 + (1 - alpha_bar[there]).sqrt() * noise


@register("prompt_magnitude")
@dataclass(frozen=True)
class PromptMagnitude(Attack):
    """Magnitude of the text-conditional noise prediction (Wen et al. 2024, arXiv 2407.21720; numbers from its code).

    A memorized caption steers sampling towards one image, whatever the start noise. The score of a pair is the mean of
    ||eps_theta(x_t, t, c) - eps_theta(x_t, t, null)||_2 over `draws` of the start noise and, in the form "all", over
    the `steps` of deterministic DDIM with `guidance`; in the form "first" it is taken at the first step alone. All
    pairs share the start noise. In pixel space the predicted images are clipped, as the samplers here do it.
    Nothing is chosen on shadow models.
    Access: loss. Model calls per image: 2 x steps x draws (400), in the form "first" 2 x draws (8). It looks at
    captions alone, never at an image: members that were seen once score like decoys.
    """

    access = "loss"
    needs_captions = True
    needs_null = True
    of_captions = True
    summary = "how far a caption moves the noise prediction while sampling"

    form: Literal["all", "first"] = "all"
    steps: Annotated[int, Ge(1)] = 50
    guidance: Annotated[float, Ge(0)] = 7.5
    draws: Annotated[int, Ge(1)] = 4

    @property
    def signal(self) -> PromptMagnitudes:
        return PromptMagnitudes(self.steps, self.guidance, self.draws, self.form == "all")

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        magnitudes = target.signals[self.signal]["magnitudes"].astype(np.float64)
        return Scores(magnitudes.mean(1), choices={"steps": magnitudes.shape[1], "chosen by": "the source's default"})
