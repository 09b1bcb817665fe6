"""Random augmentation of the training images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from annotated_types import Ge, Gt, Interval, Le

from leakfront.defenses import Defense, TrainingSetup, register
from leakfront.errors import InputError
from leakfront.registry import default_values

if TYPE_CHECKING:
    import torch


@register("augment")
@dataclass(frozen=True)
class Augment(Defense):
    """Augment each image of a batch with probability `probability`, through torchvision.transforms.v2.

    The policies:

    * "basic": a shift by up to `shift` pixels in each direction, filled with the image's edge; with `flip`, a mirror
      image in half of the cases; a rotation by up to `rotate` degrees; a brightness factor in 1 ± `brightness`.
    * "randaugment" (Cubuk et al. 2020, arXiv 1909.13719): `operations` random ones of 14 geometric and colour
      operations, each of strength `magnitude` in 0 … 30, on 8-bit images; new pixels at the border are black.
    * "cutout" (DeVries and Taylor 2017, arXiv 1708.04552): a square with the share `area` of the image's pixels, at a
      random place inside the image, becomes mid-grey.
    * "mixup" (Zhang et al. 2018, arXiv 1710.09412): an image is mixed with another one of the batch in the proportion
      l : 1 - l, with one l per batch from Beta(`alpha`, `alpha`). It keeps its own label. On ImageNet the authors found
      0.1 to 0.4 helpful (section 3.1); the default is the strongest of these. It is refused under dp_sgd, where no
      image may influence the gradient of another.

    The network cannot know which images were augmented, so augmentations appear in the samples, which costs quality.
    `conditioned` avoids this (EDM, Karras et al. 2022, arXiv 2206.00364, App. F.2): the network gets the augmentation
    as a condition, and the condition "none" in sampling. With `probability`, an image is mirrored, rotated by 90, 180
    or 270 degrees, or moved by `shift` pixels to one side, all eight equally likely. The network has to be an
    unconditional UNet2DModel; it gets the number of the augmentation as a class. At the end the embedding of "none" is
    folded into that of the time (the two are added), so the model that is kept is an unconditional UNet2DModel.

    No guarantee. Attackers query the original images. The network saw these in 1 - `probability` of the cases, and in
    the basic policy also in a share of the others.
    """

    acts_on = "batches"
    summary = "random shifts and flips, RandAugment, cutout or mixup; or augmentation as a condition of the network"

    probability: Annotated[float, Interval(ge=0, le=1)] = 1.0
    shift: Annotated[int, Ge(0)] = 1
    flip: bool = False
    rotate: Annotated[float, Ge(0)] = 0.0
    brightness: Annotated[float, Ge(0)] = 0.0
    policy: Literal["basic", "randaugment", "cutout", "mixup"] = "basic"
    operations: Annotated[int, Ge(1)] = 2
    magnitude: Annotated[int, Interval(ge=0, le=30)] = 9
    area: Annotated[float, Gt(0), Le(0.5)] = 0.25
    alpha: Annotated[float, Gt(0)] = 0.4
    conditioned: bool = False

    _owner: ClassVar[dict[str, str]] = {  # the policy of each parameter that belongs to one
        "shift": "basic", "flip": "basic", "rotate": "basic", "brightness": "basic",
        "operations": "randaugment", "magnitude": "randaugment", "area": "cutout", "alpha": "mixup",
    }  # fmt: skip

    def validate(self) -> None:
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
                raise InputError(f"augment.{key} is set; leave it out with conditioned, whose augmentations are fixed")
        if self.shift < 1:
            raise InputError(f"augment.shift is {self.shift}; with conditioned it must be at least 1")
        if self.probability == 1:
            raise InputError(
                "augment.probability is 1; with conditioned it must be below 1, to show original images too"
            )

    def _is_set(self, key: str) -> bool:
        return bool(vars(self)[key] != default_values(type(self))[key])

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        setup.mixes_images |= self.policy == "mixup"
        if not self.conditioned:
            return setup
        from leakfront.defenses.training.augment_conditioning import condition, conditioned_loss, fold

        if setup.stopping is not None:
            raise InputError("augment.conditioned must come before a defense of the stack that can stop early")
        earlier = setup.finish
        setup.network = condition(setup.network, setup.dataset.images.shape)
        setup.loss = conditioned_loss(setup.loss, self.probability, self.shift)
        setup.finish = lambda network: earlier(fold(network))
        return setup

    def augment(self, batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        import torch

        if self.conditioned:  # the loss augments, since it passes the condition to the network
            return batch
        height, width = batch.shape[2:]
        chosen = torch.rand(len(batch), generator=generator) < self.probability
        if self.policy == "mixup":
            return _mixed(batch, chosen, self.alpha)
        transform = self._policy(height, width)
        # torchvision draws from the global generator, which the training loop seeds at each step
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
    """The batch with each chosen image mixed with the image before it."""
    import torch
    from torchvision.transforms import v2

    if len(batch) < 2:
        return batch
    mix = v2.MixUp(alpha=alpha, num_classes=1)  # labels are not mixed, since a network takes one class or none
    mixed, _ = mix(batch, torch.zeros(len(batch), dtype=torch.long))
    return torch.where(chosen.to(batch.device)[:, None, None, None], mixed, batch)
