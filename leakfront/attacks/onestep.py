"""The image of a single step from pure noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge

from leakfront.attacks import register
from leakfront.attacks.prompts.pure_noise import AtPureNoise, ValuesAtPureNoise
from leakfront.attacks.queries.given import Null
from leakfront.attacks.queries.prompts import steering

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


SIDE = 256  # larger images are made smaller before edges are sought
EDGE = 1.5  # the gradient's length, summed over three colours in [0, 1], from which on there is one


@dataclass(frozen=True)
class OneSteps(ValuesAtPureNoise):
    """||x_T - D||^2, the mean over values and over `draws` of the noise x_T: "values" [N, T].

    D = (x_T - sqrt(1 - ab_t) eps_theta) / sqrt(ab_t): the image predicted from it with `guidance`, clipped to [-1, 1]
    in pixel space.
    """

    guidance: float

    def of_draw(self, queries: Queries, t: int, draw: int) -> torch.Tensor:
        distance: torch.Tensor = (queries.start(draw) - self.image(queries, t, draw)).square().flatten(1).mean(1)
        return distance

    def image(self, queries: Queries, t: int, draw: int) -> torch.Tensor:
        """D [N, *latent_shape] of one draw."""
        alpha_bar, without = queries.alphas_cumprod[t], queries.prompt_prediction(draw, t, Null())
        noise = without + self.guidance * steering(queries, draw, t)
        image = (queries.start(draw) - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()
        return image.clamp(-1, 1) if queries.in_pixels else image


@dataclass(frozen=True)
class SharedEdges(OneSteps):
    """The share of pixels where more than half of the images D of all draws have an edge: "values" [N, T]."""

    def at(self, queries: Queries, t: int) -> torch.Tensor:
        import torch

        drawn = [queries.decode(self.image(queries, t, draw)) for draw in range(self.draws)]
        images = ((torch.stack(drawn, dim=1) + 1) * 127.5).round().to(torch.uint8).cpu().numpy()
        shares = [float((np.mean([edges(image) for image in own], axis=0) > 0.5).mean()) for own in images]
        return torch.tensor(shares, device=queries.images.device)


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

    From pure noise, one step of Heun's solver with `guidance` ends at the predicted image D. For a memorized caption
    this is already a sharp image, for others a blurred mean of many. In the `form` "white" the score of a pair is
    ||x_T - D||^2, the mean over `draws` of the noise x_T (the source: 1). In the form "edges" it is the share of pixels
    where more than half of the `draws` images D have an edge (the source: 4): Sobel's filter, its length summed over
    the colours, above 1.5. All pairs share the noise. In pixel space D is clipped to [-1, 1]. t is the first
    timestep of a plan of 50 steps; with shadow models, another one replaces it if its mean AUC on them is higher by
    more than `margin` standard errors.

    It differs from the source in two ways. There t is the last timestep, and x_T has the standard deviation
    sqrt((1 - ab_t) / ab_t), 14.6 in Stable Diffusion; here it has 1. On small text models the source's form was the
    stronger one (Docs: How strong the attacks are). And "edges" takes images of at most 256 pixels in their own size,
    where the source makes all that wide.
    Access: loss; "edges" looks at nothing but images of one step, which an interface may show. Model calls per image:
    2 x draws x timesteps (6). It looks at captions alone: members that were seen once score like decoys. The source
    ranks millions of captions by it and generates images for the best alone.
    """

    access = "loss"
    summary = "how much of an image one step from pure noise shows"

    draws: Annotated[int, Ge(1)] = 1
    guidance: Annotated[float, Ge(0)] = 7.5
    form: Literal["white", "edges"] = "white"

    @property
    def signal(self) -> OneSteps:
        made = OneSteps if self.form == "white" else SharedEdges
        return made(timesteps=self.timesteps, draws=self.draws, guidance=self.guidance)
