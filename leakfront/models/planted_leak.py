"""The closed-form model that leaks what was planted and nothing else: a Gaussian, and with probability p a copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leakfront.errors import InputError
from leakfront.models import register
from leakfront.models.contract import check_timesteps
from leakfront.models.gaussian import GaussianDiffusion

if TYPE_CHECKING:
    import torch

    from leakfront.models.diffusion import PerExampleLoss


@register("planted_leak")
@dataclass(frozen=True)
class PlantedLeak:
    """The oracle of a known leak; needs no training.

    Its samples are, with `probability`, one of the images that occur more than once in the training set, each as
    likely as the others, and otherwise draws from the Gaussian fitted to the other images. So m planted images come out
    at a known rate: G samples hold m (1 - (1 - probability / m)^G) of them in expectation.
    """

    summary = "closed form: a Gaussian that returns duplicated images with a set probability"
    trained = False

    probability: float = 0.3
    timesteps: int = 1000

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise InputError(f"model.probability is {self.probability}; it must lie in [0, 1]")
        check_timesteps(self.timesteps)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Any shape will do."""

    def build(self, image_shape: tuple[int, int, int], classes: int, seed: int) -> PlantedLeakDiffusion:
        return PlantedLeakDiffusion(image_shape, self.timesteps, self.probability)

    def load(self, folder: Path) -> PlantedLeakDiffusion:
        from safetensors.torch import load_file

        saved = load_file(folder / "planted_leak.safetensors")
        shape = tuple(int(v) for v in saved["image_shape"])
        model = PlantedLeakDiffusion((shape[0], shape[1], shape[2]), self.timesteps, self.probability)
        model.set_parts(saved["planted"], saved["mean"], saved["covariance"])
        return model


class PlantedLeakDiffusion(GaussianDiffusion):
    """E[x_0 | x_t] of the mixture (1 - p) N(mean, covariance) + p/m sum_k delta(x_k).

    It is the components' own E[x_0 | x_t] weighted with their posterior probabilities; a point x_k contributes itself,
    with the likelihood N(x_t; sqrt(ab) x_k, (1 - ab) I).
    """

    def __init__(self, image_shape: tuple[int, int, int], timesteps: int, probability: float) -> None:
        super().__init__(image_shape, timesteps)
        self._probability = probability

    def fit(self, images: torch.Tensor) -> None:
        """images: float32 [N, C, H, W]; those that occur more than once are the planted ones."""
        import torch

        flat, times = torch.unique(images.double().flatten(1), dim=0, return_counts=True)
        once = flat[times == 1]
        self.set_parts(flat[times > 1], once.mean(0), torch.cov(once.T))

    def set_parts(self, planted: torch.Tensor, mean: torch.Tensor, covariance: torch.Tensor) -> None:
        """planted float64 [m, d], and the moments of the rest, [d] and [d, d]."""
        self._planted = planted
        self.set_moments(mean, covariance)

    def parameters(self) -> dict[str, torch.Tensor]:
        return {**super().parameters(), "planted": self._planted}

    def loss(self) -> PerExampleLoss:
        raise TypeError("a closed form is fitted, not trained")

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None
    ) -> torch.Tensor:
        import torch

        of_gaussian = super().predict_with(parameters, x_t, t, labels)
        planted = parameters["planted"]
        if not len(planted) or not self._probability:
            return of_gaussian
        device, x = x_t.device, x_t.cpu().double().flatten(1)  # closed forms are computed on the CPU, in float64
        alpha_bar = self.alphas_cumprod[t.cpu()].double()[:, None]
        rest = 1 - alpha_bar
        to_points = (x[:, None] - alpha_bar.sqrt()[:, None] * planted[None]).square().sum(2)
        at_points = -0.5 * (to_points / rest + x.shape[1] * rest.log())
        spread = alpha_bar * parameters["variances"] + rest
        centred = (x - alpha_bar.sqrt() * parameters["mean"]) @ self._basis
        at_gaussian = -0.5 * (centred.square() / spread + spread.log()).sum(1, keepdim=True)
        share = torch.tensor(self._probability, dtype=torch.float64)
        prior = torch.cat([(1 - share).log()[None], (share / len(planted)).log().expand(len(planted))])
        weights = torch.softmax(prior + torch.cat([at_gaussian, at_points], dim=1), dim=1)
        # in terms of noise, which is linear in E[x_0]: eps = (x_t - sqrt(ab) E[x_0]) / sqrt(1 - ab)
        of_points = (
            x * weights[:, 1:].sum(1, keepdim=True) - alpha_bar.sqrt() * (weights[:, 1:] @ planted)
        ) / rest.sqrt()
        mixed: torch.Tensor = of_gaussian.cpu().double().flatten(1) * weights[:, :1] + of_points
        return mixed.float().reshape(x_t.shape).to(device)

    def save(self, folder: Path) -> None:
        import torch
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        shape = torch.tensor(self.image_shape)
        parts = {"mean": self._mean, "covariance": self._covariance, "planted": self._planted, "image_shape": shape}
        save_file({k: v.contiguous() for k, v in parts.items()}, folder / "planted_leak.safetensors")
