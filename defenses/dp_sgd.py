"""Differentially private training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from defenses import Defense, register
from leakfront.errors import InputError

if TYPE_CHECKING:
    from defenses import TrainingSetup


@register("dp_sgd")
@dataclass(frozen=True)
class DPSGD(Defense):
    """DP-SGD (Abadi et al. 2016, arXiv 1607.00133) by Opacus, with the noise multiplicity of DPDM.

    Each step takes every image with the same small probability (Poisson sampling), clips the gradient of each image to
    the norm C, sums them, adds Gaussian noise of standard deviation sigma C, and divides by the expected batch size.
    Noise multiplicity K (Dockhorn et al., DPDM, TMLR 2023, arXiv 2210.09929): each image's loss is the
    mean over K draws of (t, eps) *before* its gradient is clipped, at no cost in privacy.

    The sampling rate is batch_size / the expected size of the training set over the coins; the true size is private.
    The noise multiplier sigma is the smallest that keeps the whole run within (epsilon, delta), by the accountant.

    What the guarantee covers: everything computed from the trained weights, hence any attacker who holds them (EMA
    weights too), for adding or removing one image of the training set. Copies of an image are images of their own.
    What it does not cover: the seeds, which have to stay secret; the reported loss, batch sizes and clipped fraction,
    which are read off the private data; floating-point attacks on the noise (arXiv 2112.05307); choices of parameters
    made by looking at several runs; augmentations that mix images, which would give an image a say in the gradients of
    others and may not be stacked with this defense.
    """

    acts_on = "training"
    covers = "samples, loss, gradients"
    summary = "DP-SGD: per-image gradients clipped and noised, to a target epsilon"

    epsilon: float = 10.0
    # None: the largest power of ten below 1 / expected set size, at most 1e-5 (so 1e-5 for MNIST's and CIFAR-10's
    # 50,000 to 60,000 images, as in the literature, and 1e-7 for ImageNet's 1.28 million)
    delta: float | None = None
    max_grad_norm: float = 1.0  # C
    noise_multiplicity: int = 1  # K
    accountant: Literal["prv", "rdp"] = "prv"
    batch_size: int | None = None  # the expected one; None, here and in the next two: as the benchmark has it
    steps: int | None = None
    learning_rate: float | None = None
    physical_batch_size: int = 256  # images x draws in memory at once; changes memory and speed, not the mathematics

    def __post_init__(self) -> None:
        for key in ("epsilon", "max_grad_norm", "learning_rate"):
            value = getattr(self, key)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"dp_sgd.{key} is {value}; it must be a positive number")
        for key in ("noise_multiplicity", "batch_size", "steps", "physical_batch_size"):
            value = getattr(self, key)
            if value is not None and (value < 1 or value != int(value)):
                raise InputError(f"dp_sgd.{key} is {value}; it must be a whole number of at least 1")
        if self.delta is not None and not 0 < self.delta < 1:
            raise InputError(f"dp_sgd.delta is {self.delta}; it must lie between 0 and 1")
        if self.accountant not in ("prv", "rdp"):
            raise InputError(f"dp_sgd.accountant is {self.accountant!r}; it must be 'prv' or 'rdp'")
        if self.accountant == "prv" and self.epsilon > 500:
            raise InputError(
                f"dp_sgd.epsilon is {self.epsilon}; above 500 set accountant to 'rdp', since PRV overflows"
            )
        if self.noise_multiplicity > self.physical_batch_size:
            raise InputError(
                f"dp_sgd.noise_multiplicity is {self.noise_multiplicity}; it must not exceed physical_batch_size, "
                f"{self.physical_batch_size}, which has to hold all draws of one image"
            )

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        from defenses.private_step import PrivateStep

        setup.batch_size = self.batch_size or setup.batch_size
        setup.steps = self.steps or setup.steps
        setup.learning_rate = self.learning_rate or setup.learning_rate
        setup.make_step = partial(PrivateStep, defense=self)
        return setup

    def check(self, expected_size: float, batch_size: int) -> None:
        batch_size = self.batch_size or batch_size
        if batch_size > expected_size:
            raise InputError(
                f"batch_size is {batch_size}; under dp_sgd it must not exceed the expected training set size, "
                f"{expected_size:g}"
            )
        self.delta_for(expected_size)

    def relative_cost(self, steps: int, batch_size: int) -> float:
        # per-image gradients make a step about 3 times as long (hooks, measured on the default UNet at batch size 64)
        rows = (self.steps or steps) * (self.batch_size or batch_size) * self.noise_multiplicity
        return 3.0 * rows / (steps * batch_size)

    def delta_for(self, expected_size: float) -> float:
        """delta, by default the largest power of ten below 1 / expected_size and at most 1e-5.

        Raises `InputError` for a delta of 1 / expected_size or more, which a mechanism that publishes one image at
        random would satisfy.
        """
        if self.delta is None:
            return 10.0 ** -max(5, math.floor(math.log10(expected_size)) + 1)
        if self.delta * expected_size >= 1:
            raise InputError(
                f"dp_sgd.delta is {self.delta}; it must be below 1 / (expected training set size), "
                f"{1 / expected_size:.2g}"
            )
        return self.delta
