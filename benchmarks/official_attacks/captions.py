"""Attacks that look at captions alone, each from its authors' code; a text model as they see it.

* `magnitude`: Wen et al. 2024, arXiv 2407.21720, YuxinWenRick/diffusion_memorization: 4 images a prompt, DDIM with 50
  steps and guidance 7.5, the mean norm of the text-conditional noise over steps and images; `first`: the first step.
* `curvature`: Jeon et al. 2025, arXiv 2412.04140, Dongjae0324/sharpness_memorization_diffusion, local_model/pipe.py: 4
  images a prompt, the first step, ||(J_c - J_null)(s_c - s_null)|| by forward-mode differentiation.
* `alignment`: Asthana and Belagiannis 2026, arXiv 2601.20642, rohanasthana/memorization-anisotropy, local_model/pipe.py
  and detect_eval.py: one image, norm at the first step plus 2 times the mean cosine at the third last.
* `onestep`: Webster 2023, arXiv 2305.08694, ryanwebster90/onestep-extraction, custom_ksampler_wb_attack.py: one step of
  Heun's solver from the largest sigma with guidance 7.5, ((z0 - latents)^2).mean().

Every prompt has the same seeds, as in their scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.official_attacks.model import to_scores

STEPS, GUIDANCE, IMAGES = 50, 7.5, 4


@dataclass(frozen=True, eq=False)
class TextModel:
    """A text model in front of pairs: images float32 [N, C, H, W] and N captions.

    eps(x_t, t, captions): the noise predicted for x_t [B, C, H, W] at one timestep. alphas_cumprod: ab_t, float32 [T].
    """

    eps: Callable[[torch.Tensor, int, Sequence[str]], torch.Tensor]
    images: torch.Tensor
    captions: tuple[str, ...]
    alphas_cumprod: torch.Tensor
    seed: int

    def both(self, x: torch.Tensor, t: int) -> tuple[torch.Tensor, torch.Tensor]:
        """eps for the own captions, and for the empty one."""
        return self.eps(x, t, self.captions), self.eps(x, t, [""] * len(self.captions))

    def starts(self, count: int) -> list[torch.Tensor]:
        """Pure noise, the same for all prompts, [N, C, H, W] each."""
        generator = torch.Generator().manual_seed(self.seed)
        one = [torch.randn(1, *self.images.shape[1:], generator=generator) for _ in range(count)]
        return [noise.repeat(len(self.images), 1, 1, 1) for noise in one]

    @property
    def plan(self) -> list[int]:
        """The timesteps of DDIM's plan of 50 steps, from the first."""
        spacing = len(self.alphas_cumprod) // STEPS
        return [i * spacing for i in reversed(range(STEPS))]


def mean(rows: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of arrays [N], [N]."""
    found: np.ndarray = np.mean(rows, axis=0)
    return found


def magnitude(model: TextModel) -> np.ndarray:
    """The mean norm over images and steps, [N]."""
    return mean([_along(model, x, model.plan) for x in model.starts(IMAGES)])


def first(model: TextModel) -> np.ndarray:
    """The mean norm over images at the first step, [N]."""
    return mean([_along(model, x, model.plan[:1]) for x in model.starts(IMAGES)])


def _along(model: TextModel, x: torch.Tensor, plan: Sequence[int]) -> np.ndarray:
    norms = []
    for i, t in enumerate(plan):
        given, without = model.both(x, t)
        norms.append(to_scores((given - without).flatten(1).norm(dim=1)))
        level, below = model.alphas_cumprod[t], model.alphas_cumprod[plan[i + 1] if i + 1 < len(plan) else 0]
        noise = without + GUIDANCE * (given - without)
        x_0 = ((x - (1 - level).sqrt() * noise) / level.sqrt()).clamp(-1, 1)  # as DDIM's scheduler does on pixels
        x = below.sqrt() * x_0 + (1 - below).sqrt() * noise
    return mean(norms)


def curvature(model: TextModel) -> np.ndarray:
    """The mean norm over images, [N]."""
    t, found = model.plan[0], []
    deviation = (1 - model.alphas_cumprod[t]).sqrt()

    def difference(x: torch.Tensor) -> torch.Tensor:
        given, without = model.both(x, t)
        return -(given - without) / deviation

    for x in model.starts(IMAGES):
        with sdpa_kernel(SDPBackend.MATH):
            bent = torch.func.jvp(difference, (x,), (difference(x),))[1]
        found.append(to_scores(bent.flatten(1).norm(dim=1)))
    return mean(found)


def alignment(model: TextModel) -> np.ndarray:
    """Norm + 2 cosine, [N]. The cosine is that over all values if there is one channel, where theirs is 1 or -1."""
    (x,) = model.starts(1)
    given, without = model.both(x, model.plan[0])
    late, empty = model.both(x, model.plan[-3])
    moved = late - empty
    if moved.shape[1] == 1:
        moved, empty = moved.flatten(1), empty.flatten(1)
    cosine = torch.nn.functional.cosine_similarity(empty, moved, dim=1).reshape(len(x), -1).mean(1)
    return to_scores((given - without).flatten(1).norm(dim=1) + 2 * cosine)


def onestep(model: TextModel) -> np.ndarray:
    """The mean squared distance of the noise and the latents after one step, [N]; in float64, since sigma is large."""
    t, (x,) = len(model.alphas_cumprod) - 1, model.starts(1)
    sigma = float(((1 - model.alphas_cumprod[t].double()) / model.alphas_cumprod[t].double()).sqrt())
    z0 = sigma * x.double()
    given, without = model.both((z0 / (sigma**2 + 1) ** 0.5).float(), t)
    denoised = z0 - sigma * (without + GUIDANCE * (given - without)).double()
    return to_scores((z0 - denoised).square().flatten(1).mean(1))


# by the label of ours in the suite
OFFICIAL: dict[str, Callable[[TextModel], np.ndarray]] = {
    "prompt_magnitude": magnitude,
    "prompt_magnitude_first": first,
    "prompt_curvature": curvature,
    "prompt_alignment": alignment,
    "onestep": onestep,
}
