"""Prompts that are changed before a model is sampled, where they look memorized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Gt, Interval

from leakfront.defenses import Defense, Prompts, Sampler, Serving, register
from leakfront.defenses.captions.tokens import MAX_WORDS, random_words, with_words
from leakfront.errors import InputError
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    import torch

PUBLIC = 256  # the most public captions that the threshold is taken from
BATCH = 64  # of these
NEARNESS = 0.05  # the weight of ||x_T|| in SAIL's loss


@register("prompt_guard")
@dataclass(frozen=True)
class PromptGuard(Defense):
    """Change what a text model is asked for, so that it does not answer with a training image.

    * "embedding" (Wen et al. 2024, "Detecting, Explaining, and Mitigating Memorization in Diffusion Models", arXiv
      2407.21720; numbers from its code): the magnitude ||eps(x_T, T_0, c) - eps(x_T, T_0, null)||_2, at the sample's
      own start noise x_T and the first timestep T_0, tells how strongly the caption steers. Where it exceeds a
      threshold, AdamW changes the caption's embedding, all but its first token, until it does not, for at most `steps`
      steps of `learning_rate`. The source's threshold suits Stable Diffusion's latents. Here it is the `quantile` of
      the magnitudes of captions from outside the pool.
    * "noise" (SAIL; Jeon et al. 2025, "Understanding and Mitigating Memorization in Generative Models via Sharpness of
      Probability Landscapes", arXiv 2412.04140, Alg. 2; numbers from its code): where sampling would start in a sharp
      place, it starts elsewhere. With d(x) = eps(x, T_0, c) - eps(x, T_0, null), Adam lowers the number
      ||d(x_T + d(x_T)/||d(x_T)||)|| + 0.05 ||x_T|| over x_T, where it exceeds a threshold, for at most `steps` steps.
      The threshold is the `quantile` of this number over captions from outside the pool; the source's is 8.2, for
      latents. The source draws new noise where the steps are not enough, and takes d(x_T)/||d(x_T)|| from the first x_T
      at all of them.
    * "words" (Somepalli et al. 2023, arXiv 2305.20086): `words` random words are put into every caption, other words
      for each sample.

    No guarantee. An attacker with the weights can sample without it, and one who sees samples can ask again. It must be
    the first guard in a stack, since it makes a new sampler. "embedding" costs up to 2 x `steps` calls and as many
    backward passes for each sample, "noise" twice that. It also changes captions that were never memorized, and then
    images follow them less.
    """

    acts_on = "sampling"
    covers = "samples as served; nothing with the weights"
    summary = "change prompts that look memorized before sampling"
    needs_captions = True
    makes_sampler = True

    form: Literal["embedding", "noise", "words"] = "embedding"
    quantile: Annotated[float, Interval(ge=0, le=1)] = 0.5
    steps: Annotated[int, Interval(ge=1, le=1000)] = 10
    learning_rate: Annotated[float, Gt(0)] | None = None  # None: the source's, 0.1 for "embedding", 0.05 for "noise"
    words: Annotated[int, Interval(ge=1, le=MAX_WORDS)] = 4

    def guard(self, sampler: Sampler, serving: Serving) -> Sampler:
        prompts = serving.prompts
        if prompts is None:
            raise InputError("prompt_guard changes captions, but this model is not conditioned on any")
        if self.form == "words":
            return serving.make_sampler(serving.model, lambda indices: self._with_words(prompts, indices))
        threshold = self._threshold(prompts)
        if self.form == "noise":
            return serving.make_sampler(serving.model, None, lambda i: self._started(prompts, i, threshold))
        return serving.make_sampler(serving.model, lambda indices: self._steered(prompts, indices, threshold))

    def _with_words(self, prompts: Prompts, indices: Sequence[int]) -> torch.Tensor:
        """The conditions of samples, int64 [n, L], with random words that depend on the sample alone."""
        import torch

        rows = []
        for index, row in zip(indices, prompts.conditions(indices).cpu(), strict=True):
            generator = torch.Generator().manual_seed(derive_seed(prompts.seed, "prompt_guard", index))
            added = random_words(self.words, prompts.model.words, generator)
            rows.append(with_words(row, added, prompts.model.words, generator))
        return torch.stack(rows)

    def _threshold(self, prompts: Prompts) -> float:
        """The quantile over public captions of what is compared with it, each at the start noise of a sample."""
        import torch

        public, found = prompts.public[:PUBLIC].to(prompts.device), []
        with torch.no_grad():
            for first in range(0, len(public), BATCH):
                rows = public[first : first + BATCH]
                x_t = prompts.start(range(first, first + len(rows)))
                measured = sharpness if self.form == "noise" else magnitude
                found.append(measured(prompts, x_t, prompts.model.embed(rows)))
        return float(torch.cat(found).double().quantile(self.quantile))

    def _steered(self, prompts: Prompts, indices: Sequence[int], threshold: float) -> torch.Tensor:
        """The embeddings of samples' conditions, float32 [n, L, d], changed until their magnitude is low enough.

        No sample depends on the others: their magnitudes are summed, AdamW works on each value by itself, and a sample
        that is done stays as it is.
        """
        import torch

        x_t = prompts.start(indices)
        with torch.no_grad():
            embedding = prompts.model.embed(prompts.conditions(indices).to(prompts.device))
        first, free = embedding[:, :1], embedding[:, 1:].clone().requires_grad_()
        optimizer = torch.optim.AdamW([free], lr=self.learning_rate or 0.1)
        self._lower(lambda: magnitude(prompts, x_t, torch.cat([first, free], dim=1)), free, optimizer, threshold)
        return torch.cat([first, free], dim=1).detach()

    def _started(self, prompts: Prompts, indices: Sequence[int], threshold: float) -> torch.Tensor:
        """Where samples start, float32 [n, C, H, W]: their own noise, moved until it is no longer sharp there."""
        import torch

        with torch.no_grad():
            embedding = prompts.model.embed(prompts.conditions(indices).to(prompts.device))
        x_t = prompts.start(indices).clone().requires_grad_()
        optimizer = torch.optim.Adam([x_t], lr=self.learning_rate or 0.05)
        self._lower(lambda: sharpness(prompts, x_t, embedding), x_t, optimizer, threshold)
        return x_t.detach()

    def _lower(
        self, measure: Callable[[], torch.Tensor], free: torch.Tensor, optimizer: torch.optim.Optimizer, most: float
    ) -> None:
        """Change `free`, [n, ...], in place by steps of the optimizer, each sample until its measure is low enough."""
        import torch

        with torch.enable_grad():  # samplers run without gradients
            for _ in range(self.steps):
                found = measure()
                done = found.detach() <= most
                if bool(done.all()):
                    break
                kept = free.detach().clone()
                (free.grad,) = torch.autograd.grad(found.sum(), free)
                optimizer.step()
                with torch.no_grad():
                    free[done] = kept[done]


def magnitude(prompts: Prompts, x_t: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
    """||eps(x_t, T_0, c) - eps(x_t, T_0, null)||_2 [n], for start noise x_t [n, C, H, W] and embeddings [n, L, d]."""
    norms: torch.Tensor = steering(prompts, x_t, embedding).flatten(1).norm(dim=1)
    return norms


def sharpness(prompts: Prompts, x_t: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
    """||d(x_t + d(x_t)/||d(x_t)||)|| + 0.05 ||x_t||, [n], where d is `steering`."""
    along = steering(prompts, x_t, embedding)
    unit = along / along.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]
    found: torch.Tensor = magnitude(prompts, x_t + unit, embedding) + NEARNESS * x_t.flatten(1).norm(dim=1)
    return found


def steering(prompts: Prompts, x_t: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
    """d = eps(x_t, T_0, c) - eps(x_t, T_0, null), of the shape of x_t."""
    import torch

    model = prompts.model
    null = model.embed(model.null[None].to(x_t.device)).expand_as(embedding)
    t = torch.full((2 * len(x_t),), prompts.first, device=x_t.device)
    given, without = model.predict_noise(torch.cat([x_t, x_t]), t, torch.cat([embedding, null])).chunk(2)
    apart: torch.Tensor = given - without
    return apart
