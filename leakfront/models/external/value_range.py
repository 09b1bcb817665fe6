"""Models whose images are not scaled to [-1, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ValueRange:
    """The range `low` … `high` to which a model's training scaled black and white.

    Such a model sees y = s x + m for an image x in [-1, 1], with s = (high - low) / 2 and m = (high + low) / 2. Its
    noised image y_t = sqrt(ab) y + sqrt(1 - ab) eps is then an affine function of x_t = sqrt(ab') x + sqrt(1 - ab') eps
    with the same noise, where ab' = s^2 ab / (s^2 ab + 1 - ab). So in [-1, 1] it is the same model at the levels ab'.
    """

    low: float = -1.0
    high: float = 1.0

    @property
    def scale(self) -> float:
        """s, above 0."""
        return (self.high - self.low) / 2

    @property
    def middle(self) -> float:
        """m, the value of medium grey."""
        return (self.high + self.low) / 2

    @property
    def is_usual(self) -> bool:
        """Whether it is [-1, 1], in which nothing is converted."""
        return (self.low, self.high) == (-1.0, 1.0)

    def levels(self, alpha_bar: torch.Tensor) -> torch.Tensor:
        """ab', the levels for images in [-1, 1], from ab, those of the model's own range."""
        if self.is_usual:
            return alpha_bar
        signal = self.scale**2 * alpha_bar.double()
        return (signal / (signal + 1 - alpha_bar.double())).to(alpha_bar.dtype)

    def into(self, x_t: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
        """y_t, as the model sees it, from x_t [N, C, H, W] at the levels ab' that belong to ab [N]."""
        if self.is_usual:
            return x_t
        root = (self.scale**2 * alpha_bar + 1 - alpha_bar).sqrt()[:, None, None, None]
        return root * x_t + (self.middle * alpha_bar.sqrt())[:, None, None, None]
