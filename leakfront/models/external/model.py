"""A UNet that was trained elsewhere, as attacks and samplers see it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leakfront.models.external.value_range import ValueRange
from leakfront.models.unet import UNetDiffusion

if TYPE_CHECKING:
    import torch


class ExternalDiffusion(UNetDiffusion):
    """The network for images in [-1, 1], whatever its own range is.

    value_range: that of the images in its training. null_class: the last class embedding is no class. Of a network with
    a learned variance only the mean is used.
    """

    def __init__(self, network: Any, scheduler: Any, value_range: ValueRange, null_class: bool = False) -> None:
        super().__init__(network, scheduler)
        self._range = value_range
        self._own_levels = self.alphas_cumprod
        self.alphas_cumprod = value_range.levels(self._own_levels)
        self.classes = max(self.classes - null_class, 0)

    def fit(self, images: torch.Tensor) -> None:
        """Do nothing: the model stays as it was trained."""

    def _noise(
        self, call: Callable[..., Any], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None
    ) -> torch.Tensor:
        from leakfront.models.diffusion import to_noise

        alpha_bar = self._own_levels.to(x_t.device)[t]
        y_t = self._range.into(x_t, alpha_bar)
        (output,) = call(y_t, t, condition if self.classes else None)
        return to_noise(output[:, : x_t.shape[1]], y_t, alpha_bar, self.prediction)
