"""A UNet that works on patches: p x p pixels become the channels of one position (space to depth; Shi et al. 2016)."""

from __future__ import annotations

from math import isqrt
from typing import Any

import torch
from diffusers import UNet2DModel


def patch_of(in_channels: int) -> int:
    """p of a network for grey or RGB images: in_channels is p^2 or 3 p^2, and no number is both."""
    return isqrt(in_channels if isqrt(in_channels) ** 2 == in_channels else in_channels // 3)


class PatchUNet(UNet2DModel):  # type: ignore[misc]  # diffusers has no types here
    """A `UNet2DModel` of C p^2 channels and H/p x W/p positions that takes and gives images [N, C, H, W].

    Its weights are those of the `UNet2DModel`, which does the same with `torch.nn.functional.pixel_unshuffle` in front
    and `pixel_shuffle` behind. At equal widths a call costs about 1/p^2.
    """

    def forward(
        self, sample: torch.Tensor, timestep: Any, class_labels: torch.Tensor | None = None, return_dict: bool = True
    ) -> Any:
        patch = patch_of(self.config["in_channels"])
        folded = torch.nn.functional.pixel_unshuffle(sample, patch)
        found = super().forward(folded, timestep, class_labels, return_dict=return_dict)
        if return_dict:
            found.sample = torch.nn.functional.pixel_shuffle(found.sample, patch)
            return found
        return (torch.nn.functional.pixel_shuffle(found[0], patch),)
