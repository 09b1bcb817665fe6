"""Every signal asked once of a model that knows nothing: what it costs, and that it can be asked at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError
from leakfront.harness.plan.plan import Plan

if TYPE_CHECKING:
    import torch


def check_signals(plan: Plan, image_shape: tuple[int, ...]) -> None:
    """Raise `InputError` for an attack that asks what images (C, H, W) or the model's timesteps do not allow."""
    for label, attack in plan.attacks.items():
        try:
            model_calls([*attack.signals(), *attack.outside_signals()], image_shape, plan.model.timesteps)
        except InputError as error:
            raise InputError(f"attacks.{label}: {error}") from None
        except (IndexError, ValueError, RuntimeError, OverflowError, MemoryError) as error:
            raise InputError(
                f"attacks.{label} cannot be made on {'x'.join(map(str, image_shape))} images and a model of "
                f"{plan.model.timesteps} timesteps: {error}"
            ) from error


def model_calls(signals: Sequence[Any], image_shape: tuple[int, ...], timesteps: int) -> int:
    """Model calls per image of the signals together."""
    import torch

    from leakfront.attacks.queries.queries import Queries

    images, labels = torch.zeros(1, *image_shape), torch.zeros(1, dtype=torch.long)
    queries = Queries(ZeroDenoiser(timesteps), images, labels, seed=0)
    for signal in signals:
        signal.measure(queries)
    return queries.calls


MAX_CALLS = 5_000  # per image, of one attack; in suite v1 the most is 273, of dataset_inference


class ZeroDenoiser:
    """A denoiser that predicts no noise; what `Queries` needs of a `DiffusionModel`."""

    network: torch.nn.Module | None = None
    classes = 0

    def __init__(self, timesteps: int) -> None:
        import torch

        self.alphas_cumprod = torch.linspace(0.999, 0.001, timesteps)
        self.image_shape = (1, 1, 1)
        self._calls = 0

    def _count(self) -> None:
        self._calls += 1
        if self._calls > MAX_CALLS:
            raise InputError(f"it asks the model more than {MAX_CALLS:,} times about each image; lower its parameters")

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        self._count()
        return 0 * x_t

    def parameters(self) -> dict[str, torch.Tensor]:
        import torch

        return {"scale": torch.zeros(1)}

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        self._count()
        return parameters["scale"] * x_t

    def fit(self, images: torch.Tensor) -> None:
        raise TypeError("a model of nothing is not fitted")

    def loss(self) -> Any:
        raise TypeError("a model of nothing is not trained")

    def save(self, folder: Any) -> None:
        raise TypeError("a model of nothing is not saved")
