"""Random augmentation of the training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from defenses import Defense, register
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch


@register("augment")
@dataclass(frozen=True)
class Augment(Defense):
    """Augment each image of a batch with probability `probability`, through torchvision.transforms.v2.

    shift: up to that many pixels in each direction, filled with the image's edge; flip: mirror half of them; rotate:
    up to that many degrees; brightness: factor in 1 ± brightness. The augmentation leaks into the samples (no
    conditioning undoes it), which costs quality. No guarantee.
    """

    acts_on = "batches"
    summary = "random shifts, flips, rotations and brightness"

    probability: float = 1.0
    shift: int = 1
    flip: bool = False
    rotate: float = 0.0
    brightness: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise InputError(f"augment.probability is {self.probability}; it must lie in [0, 1]")
        for key in ("shift", "rotate", "brightness"):
            if getattr(self, key) < 0:
                raise InputError(f"augment.{key} is {getattr(self, key)}; it must not be negative")

    def augment(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        import torch

        height, width = batch.shape[2:]
        transform = self._policy(height, width)
        chosen = torch.rand(len(batch), generator=generator) < self.probability
        # torchvision draws from the global generator; the loop seeds that one at each step too
        changed = [transform((image + 1) / 2) * 2 - 1 if c else image for image, c in zip(batch, chosen, strict=True)]
        return torch.stack(changed) if changed else batch

    def _policy(self, height: int, width: int) -> torch.nn.Module:
        from torchvision.transforms import v2

        policy: list[torch.nn.Module] = []
        if self.shift:
            policy.append(v2.RandomCrop((height, width), padding=self.shift, padding_mode="edge"))
        if self.flip:
            policy.append(v2.RandomHorizontalFlip(0.5))
        if self.rotate:
            policy.append(v2.RandomRotation(self.rotate, interpolation=v2.InterpolationMode.BILINEAR))
        if self.brightness:
            policy.append(v2.ColorJitter(brightness=self.brightness))
        compose: torch.nn.Module = v2.Compose(policy or [v2.Identity()])
        return compose
