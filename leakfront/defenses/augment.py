"""Random augmentation of the training images."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, ClassVar, Literal

from leakfront.defenses import Defense, register
from leakfront.errors import InputError

if TYPE_CHECKING:
    import torch

    from leakfront.defenses import TrainingSetup


@register("augment")
@dataclass(frozen=True)
class Augment(Defense):
    """Augment each image of a batch with probability `probability`, through torchvision.transforms.v2.

    policy "basic". shift: up to that many pixels in each direction, filled with the image's edge; flip: mirror half of
    them; rotate: up to that many degrees; brightness: factor in 1 ± brightness.
    policy "randaugment" (Cubuk et al. 2020, arXiv 1909.13719): `operations` random ones of 14 geometric and colour
    operations, each of strength `magnitude` in 0 … 30, on 8-bit images; what comes in from outside is black.
    policy "cutout" (DeVries and Taylor 2017, arXiv 1708.04552): a square of `area` times the image's pixels, somewhere
    within the image, is made mid-grey.
    policy "mixup" (Zhang et al. 2018, arXiv 1710.09412): an image is mixed with another of the batch in the proportion
    l : 1 - l, l from Beta(`alpha`, `alpha`), one l a batch; it keeps its own label. Of the `alpha` that helped the
    authors on ImageNet, 0.1 to 0.4 (section 3.1), the default is the strongest. It is refused under dp_sgd, where no
    image may have a say in the gradient of another.

    An augmentation leaks into the samples, since nothing tells the network which images were augmented; that costs
    quality. The form that does not leak is `conditioned` (EDM, Karras et al. 2022, arXiv 2206.00364, App. F.2): the
    network is told which augmentation it sees, and at sampling that there is none. With `probability`, an image is
    mirrored, turned by 90, 180 or 270 degrees, or moved by `shift` pixels to one side, all eight alike; the network is
    an unconditional UNet2DModel and gets the augmentation's number as a class. At the end the embedding of "none" is
    folded into that of the time (they are added), so what is kept is an unconditional UNet2DModel without classes.

    No guarantee. Attackers ask about the images as they are; the network has seen those in 1 - `probability` of the
    cases, and in the basic form in a share of the rest as well.
    """

    acts_on = "batches"
    summary = "random shifts and flips, RandAugment, cutout or mixup; or augmentation that the network is told of"

    probability: float = 1.0
    shift: int = 1
    flip: bool = False
    rotate: float = 0.0
    brightness: float = 0.0
    policy: Literal["basic", "randaugment", "cutout", "mixup"] = "basic"
    operations: int = 2
    magnitude: int = 9
    area: float = 0.25
    alpha: float = 0.4
    conditioned: bool = False

    _owner: ClassVar[dict[str, str]] = {  # the policy that a parameter belongs to
        "shift": "basic", "flip": "basic", "rotate": "basic", "brightness": "basic",
        "operations": "randaugment", "magnitude": "randaugment", "area": "cutout", "alpha": "mixup",
    }  # fmt: skip

    def __post_init__(self) -> None:
        if self.policy not in ("basic", "randaugment", "cutout", "mixup"):
            raise InputError(
                f"augment.policy is {self.policy!r}; it must be 'basic', 'randaugment', 'cutout' or 'mixup'"
            )
        if not 0 <= self.probability <= 1:
            raise InputError(f"augment.probability is {self.probability}; it must lie in [0, 1]")
        for key in ("shift", "rotate", "brightness"):
            if getattr(self, key) < 0:
                raise InputError(f"augment.{key} is {getattr(self, key)}; it must not be negative")
        if self.operations < 1:
            raise InputError(f"augment.operations is {self.operations}; it must be at least 1")
        if not 0 <= self.magnitude <= 30:
            raise InputError(f"augment.magnitude is {self.magnitude}; it must lie in 0 … 30")
        if not 0 < self.area <= 0.5:
            raise InputError(f"augment.area is {self.area}; it must be above 0 and at most 0.5")
        if not 0 < self.alpha < math.inf:
            raise InputError(f"augment.alpha is {self.alpha}; it must be a positive number")
        for key, policy in self._owner.items():
            if policy != self.policy and self._is_set(key):
                raise InputError(
                    f"augment.{key} is set, but belongs to policy {policy!r}; the policy is {self.policy!r}"
                )
        if self.conditioned:
            self._check_conditioned()

    def _check_conditioned(self) -> None:
        if self.policy != "basic":
            raise InputError(f"augment.policy is {self.policy!r}; with conditioned it must be 'basic'")
        for key in ("flip", "rotate", "brightness"):
            if self._is_set(key):
                raise InputError(f"augment.{key} is set; with conditioned it must not be, the augmentations are fixed")
        if self.shift < 1:
            raise InputError(f"augment.shift is {self.shift}; with conditioned it must be at least 1")
        if self.probability == 1:
            raise InputError("augment.probability is 1; with conditioned it must be below 1, to show plain images too")

    def _is_set(self, key: str) -> bool:
        return bool(getattr(self, key) != next(field.default for field in fields(self) if field.name == key))

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        setup.mixes_images |= self.policy == "mixup"
        if not self.conditioned:
            return setup
        from leakfront.defenses.training.augment_conditioning import condition, fold, told_loss

        if setup.stopping is not None:
            raise InputError("augment.conditioned comes in a stack before a defense that may end the training")
        earlier = setup.finish
        setup.network = condition(setup.network, setup.dataset.images.shape)
        setup.loss = told_loss(setup.loss, self.probability, self.shift)
        setup.finish = lambda network: earlier(fold(network))
        return setup

    def augment(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        import torch

        if self.conditioned:  # within the loss, which can tell the network
            return batch
        height, width = batch.shape[2:]
        chosen = torch.rand(len(batch), generator=generator) < self.probability
        if self.policy == "mixup":
            return _mixed(batch, chosen, self.alpha)
        transform = self._policy(height, width)
        # torchvision draws from the global generator; the loop seeds that one at each step too
        changed = [transform((image + 1) / 2) * 2 - 1 if c else image for image, c in zip(batch, chosen, strict=True)]
        return torch.stack(changed) if changed else batch

    def _policy(self, height: int, width: int) -> torch.nn.Module:
        """A transform of float32 images [C, H, W] in [0, 1]."""
        import torch
        from torchvision.transforms import v2

        policy: list[torch.nn.Module] = []
        if self.policy == "randaugment":
            policy.append(v2.ToDtype(torch.uint8, scale=True))
            policy.append(v2.RandAugment(self.operations, self.magnitude))
            policy.append(v2.ToDtype(torch.float32, scale=True))
        elif self.policy == "cutout":
            policy.append(v2.RandomErasing(1.0, scale=(self.area, self.area), ratio=(1.0, 1.0), value=0.5))
        else:
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


def _mixed(batch: torch.Tensor, chosen: torch.Tensor, alpha: float) -> torch.Tensor:
    """The batch with its chosen images mixed with those before them."""
    import torch
    from torchvision.transforms import v2

    if len(batch) < 2:
        return batch
    mix = v2.MixUp(alpha=alpha, num_classes=1)  # labels are not mixed: the networks are told one class, or none
    mixed, _ = mix(batch, torch.zeros(len(batch), dtype=torch.long))
    return torch.where(chosen.to(batch.device)[:, None, None, None], mixed, batch)
