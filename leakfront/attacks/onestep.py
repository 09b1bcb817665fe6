"""The image of a single step from pure noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge

from leakfront.attacks import register
from leakfront.attacks.contract import Timesteps
from leakfront.attacks.prompts.pure_noise import AtPureNoise, ValuesAtPureNoise
from leakfront.attacks.queries.given import Null
from leakfront.attacks.queries.prompts import steering

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


SIDE = 256  # larger images are made smaller before edges are sought
EDGE = 1.5  # the gradient's length, summed over three colours in [0, 1], from which on there is one


@dataclass(frozen=True)
class Squares(ValuesAtPureNoise):
    """The square of the noise predicted with `guidance` at x_T: "values" [N, T], the mean over values and `draws`."""

    guidance: float

    def of_draw(self, queries: Queries, t: int, draw: int) -> torch.Tensor:
        squared: torch.Tensor = guided(queries, t, draw, self.guidance).square().flatten(1).mean(1)
        return squared


@dataclass(frozen=True)
class SharedEdges(Squares):
    """The share of pixels where more than half of the images D of all draws have an edge: "values" [N, T].

    D = (x_T - sqrt(1 - ab_t) eps_theta) / sqrt(ab_t), clipped to [-1, 1] in pixel space.
    """

    def at(self, queries: Queries, t: int) -> torch.Tensor:
        import torch

        drawn = [queries.decode(self.image(queries, t, draw)) for draw in range(self.draws)]
        images = ((torch.stack(drawn, dim=1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
        shares = [float((np.mean([edges(image) for image in own], axis=0) > 0.5).mean()) for own in images]
        return torch.tensor(shares, device=queries.images.device)

    def image(self, queries: Queries, t: int, draw: int) -> torch.Tensor:
        """D [N, *latent_shape] of one draw."""
        alpha_bar, noise = queries.alphas_cumprod[t], guided(queries, t, draw, self.guidance)
        image = (queries.start(draw) - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()
        return image.clamp(-1, 1) if queries.in_pixels else image


def guided(queries: Queries, t: int, draw: int, guidance: float) -> torch.Tensor:
    """The noise predicted at x_T, draw number `draw`, with classifier-free guidance [N, *latent_shape]."""
    return queries.prompt_prediction(draw, t, Null()) + guidance * steering(queries, draw, t)


def edges(image: np.ndarray) -> np.ndarray:
    """Where an image uint8 [C, H, W] has an edge by Sobel's filter, bool [H, W], at most 256 pixels a side.

    A grey image counts as one of three equal colours. As in the source's code, the filter also averages neighbouring
    colours.
    """
    from PIL import Image
    from scipy.ndimage import sobel

    height, width = image.shape[1:]
    pixels = np.ascontiguousarray(np.broadcast_to(image, (3, height, width)).transpose(1, 2, 0))
    if max(height, width) > SIDE:
        pixels = np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.LANCZOS))
    values = pixels.astype(np.float32) / 255
    found: np.ndarray = np.hypot(sobel(values, axis=0), sobel(values, axis=1)).sum(2) > EDGE
    return found


@register("onestep")
@dataclass(frozen=True)
class OneStep(AtPureNoise):
    """One step from pure noise (Webster 2023, arXiv 2305.08694; both scores of its code).

    From pure noise z = sigma x_T, with sigma = sqrt((1 - ab_t) / ab_t), one step of Heun's solver with `guidance` ends
    at the predicted image D. For a memorized caption this is already a sharp image, for others a blurred mean of many.
    In the `form` "white" the score of a pair is ||z - D||^2 / sigma^2, the square of the predicted noise, its mean over
    `draws` of the noise (the source: 1 draw, at the last timestep; sigma is the same for all pairs). In the form
    "edges" it is the share of pixels where more than half of the `draws` images D have an edge (the source: 4): Sobel's
    filter, its length summed over the colours, above 1.5. All pairs share the noise. In pixel space D is clipped to
    [-1, 1] for "edges". With shadow models, another timestep replaces the last one if its mean AUC on them is higher by
    more than `margin` standard errors.

    It differs from the source in two ways. The model is shown x_T with a standard deviation of 1, as all attacks on
    captions here show it, and not of sqrt(1 - ab_t), which is 0.998 at the last timestep of Stable Diffusion. And
    "edges" takes images of at most 256 pixels in their own size, where the source makes all that wide.
    Access: loss; "edges" looks at nothing but images of one step, which an interface may show. Model calls per image:
    2 x draws x timesteps (8). It looks at captions alone: members that were seen once score like decoys. The source
    ranks millions of captions by it and generates images for the best alone.
    """

    access = "loss"
    summary = "how much of an image one step from pure noise shows"

    timesteps: Timesteps = (700, 900, 980, 999)
    draws: Annotated[int, Ge(1)] = 1
    default_timestep: Annotated[int, Ge(0)] = 999
    guidance: Annotated[float, Ge(0)] = 7.5
    form: Literal["white", "edges"] = "white"

    @property
    def signal(self) -> Squares:
        made = Squares if self.form == "white" else SharedEdges
        return made(timesteps=self.timesteps, draws=self.draws, guidance=self.guidance)
