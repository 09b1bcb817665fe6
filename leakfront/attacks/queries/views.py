"""Changes of images before they are noised. `Queries` computes the predictions for equal views once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Flip:
    """The mirror image: left and right are exchanged."""

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        return images.flip(-1)


@dataclass(frozen=True)
class CentreCrop:
    """The centre of each image, `fraction` of each side, enlarged to the full size by bilinear interpolation.

    The window may begin between two pixels; it is not rounded to whole pixels.
    """

    fraction: float

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import affine_grid, grid_sample

        zoom = images.new_tensor([[[self.fraction, 0, 0], [0, self.fraction, 0]]])
        grid = affine_grid(zoom, [1, *images.shape[1:]], align_corners=False)
        grid = grid.expand(len(images), -1, -1, -1)
        return grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
