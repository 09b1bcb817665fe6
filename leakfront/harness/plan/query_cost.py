"""Count the model calls of signals, and check that they can be measured, on a model that predicts zero noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError
from leakfront.harness.plan.plan import Plan
from leakfront.models import DiffusionModel

if TYPE_CHECKING:
    import torch


def check_signals(plan: Plan, image_shape: tuple[int, ...]) -> None:
    """Raise `InputError` for an attack whose signals do not fit the images (C, H, W) or the model's timesteps.

    Attacks that are left out for want of shadow models or images are not asked.
    """
    for label in plan.judged_by(plan.config.splits - 1):
        attack = plan.attacks[label]
        try:
            model_calls([*attack.signals(), *attack.outside_signals()], image_shape, plan.model.timesteps)
        except InputError as error:
            raise InputError(f"attacks.{label}: {error}") from None
        except (IndexError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
            raise InputError(
                f"attacks.{label} cannot run on {'x'.join(map(str, image_shape))} images and a model of "
                f"{plan.model.timesteps} timesteps: {error}"
            ) from error


def model_calls(signals: Sequence[Any], image_shape: tuple[int, ...], timesteps: int) -> int:
    """The model calls per image that the signals need together."""
    import torch

    from leakfront.attacks.queries.queries import Queries

    images, condition = torch.zeros(1, *image_shape), torch.zeros(1, dtype=torch.long)
    queries = Queries(ZeroDenoiser(timesteps, image_shape), images, condition, seed=0, captions=["a caption"])
    for signal in signals:
        signal.measure(queries)
    return queries.calls


MAX_CALLS = 5_000  # per image and attack; in suite v1 dataset_inference has the most, 273


class ZeroDenoiser(DiffusionModel):
    """A denoiser that predicts zero noise, whatever it is asked with, and was fine-tuned from itself."""

    network = None
    classes = 0

    def __init__(self, timesteps: int, image_shape: tuple[int, ...]) -> None:
        import torch

        self.alphas_cumprod = torch.linspace(0.999, 0.001, timesteps)
        self.image_shape = (image_shape[0], image_shape[1], image_shape[2])
        self.null, self.base = torch.tensor(0), self
        self._calls = 0

    def _count(self) -> None:
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise InputError(f"it asks the model more than {MAX_CALLS:,} times about each image; lower its parameters")

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        self._count()
        return 0 * x_t

    def discriminate(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits of 0, as of a generator."""
        import torch

        zeros = torch.zeros(len(images))
        return {"latest": zeros, "averaged": zeros}

    def parameters(self) -> dict[str, torch.Tensor]:
        import torch

        return {"scale": torch.zeros(1)}

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        self._count()
        return parameters["scale"] * x_t

    def fit(self, images: torch.Tensor) -> None:
        raise TypeError("ZeroDenoiser cannot be fitted")

    def loss(self) -> Any:
        raise TypeError("ZeroDenoiser cannot be trained")

    def save(self, folder: Any) -> None:
        raise TypeError("ZeroDenoiser cannot be saved")
