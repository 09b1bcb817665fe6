"""Differentially private training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from leakfront.defenses import Defense, TrainingSetup, TrainingStep, register
from leakfront.errors import InputError


@register("dp_sgd")
@dataclass(frozen=True)
class DPSGD(Defense):
    """DP-SGD (Abadi et al. 2016, arXiv 1607.00133) by Opacus, with the noise multiplicity of DPDM.

    Each step takes every image with the same small probability (Poisson sampling), clips the gradient of each image to
    the norm C, sums them, adds Gaussian noise of standard deviation sigma C, and divides by the expected batch size.
    One forward and one backward pass give the clipped sum (book-keeping, Bu et al. 2023, arXiv 2210.00038).

    Noise multiplicity K (Dockhorn et al., DPDM, TMLR 2023, arXiv 2210.09929): the loss of an image is the mean over K
    draws of (t, eps), taken *before* its gradient is clipped, at no cost in privacy. Augmentation multiplicity (De et
    al. 2022, arXiv 2204.13650, section 3): if this defense is stacked with one that augments, each of the K draws of an
    image is augmented on its own. This costs no privacy either, since the mean of the draws is clipped as one gradient.

    Clipping: "flat" clips the gradient of all K' trained tensors together to C. "per_layer" clips that of each tensor
    (Opacus calls a weight or a bias a layer) to C / sqrt(K'); the total bound is again C, and so the noise is the same.

    The sampling rate is batch_size / the expected size of the training set over the coins; the true size is private.
    The noise multiplier sigma is the smallest that keeps the whole run within (epsilon, delta), by the accountant.

    The guarantee holds for adding or removing one image of the training set. It covers everything computed from the
    trained weights (also their moving average), so it holds against any attacker, even with the weights. Copies of an
    image count as separate images; `group_epsilon` is the epsilon for all copies of one image together.

    The guarantee does not cover: the run's secret, from which all draws of the training follow; the reported loss,
    batch sizes, clipped fraction and number of copies, which are read off the private data; floating-point attacks on
    the noise (arXiv 2112.05307); parameters chosen by comparing several runs. An augmentation that mixes images lets an
    image influence the gradients of others and is refused in a stack with this defense.
    """

    acts_on = "training"
    private = True
    makes_step = True
    covers = "samples, loss, gradients"
    summary = "DP-SGD: per-image gradients clipped and noised, to a target epsilon"

    epsilon: Annotated[float, Gt(0)] = 10.0
    # None: the largest power of ten below 1 / expected set size, at most 1e-5 (so 1e-5 for MNIST's and CIFAR-10's
    # 50,000 to 60,000 images, as in the literature, and 1e-7 for ImageNet's 1.28 million)
    delta: Annotated[float, Gt(0), Lt(1)] | None = None
    max_grad_norm: Annotated[float, Gt(0)] = 1.0  # C
    noise_multiplicity: Annotated[int, Ge(1)] = 1  # K
    clipping: Literal["flat", "per_layer"] = "flat"  # clip the whole gradient or that of each tensor
    accountant: Literal["prv", "rdp"] = "prv"
    batch_size: Annotated[int, Ge(1)] | None = None  # the expected size; None, here and below: the benchmark's value
    steps: Annotated[int, Ge(1)] | None = None
    learning_rate: Annotated[float, Gt(0)] | None = None
    ema_decay: Annotated[float, Ge(0), Lt(1)] | None = None
    physical_batch_size: Annotated[int, Ge(1)] = 256  # images x draws in memory at once; affects only memory and speed

    def validate(self) -> None:
        if self.accountant == "prv" and self.epsilon > 500:
            raise InputError(
                f"{self.name}.epsilon is {self.epsilon}; above 500 set accountant to 'rdp', since PRV overflows"
            )
        if self.noise_multiplicity > self.physical_batch_size:
            raise InputError(
                f"{self.name}.noise_multiplicity is {self.noise_multiplicity}; it must not exceed physical_batch_size, "
                f"{self.physical_batch_size}, which has to hold all draws of one image"
            )

    def training(self, setup: TrainingSetup) -> TrainingSetup:
        setup.batch_size = self.batch_size or setup.batch_size
        setup.steps = self.steps or setup.steps
        setup.learning_rate = self.learning_rate or setup.learning_rate
        setup.ema_decay = setup.ema_decay if self.ema_decay is None else self.ema_decay
        setup.make_step = self.private_step
        return setup

    def private_step(self, setup: TrainingSetup) -> TrainingStep:
        """The private training step for a setup; `InputError` if the guarantee would not hold for it."""
        from leakfront.defenses.training.private_step import Privacy, PrivateStep

        self.check(setup.expected_size, setup.batch_size)
        privacy = Privacy(
            defense=self.name,
            epsilon=self.epsilon,
            delta=self.delta_for(setup.expected_size),
            accountant=self.accountant,
            max_grad_norm=self.max_grad_norm,
            clipping=self.clipping,
            noise_multiplicity=self.noise_multiplicity,
            physical_batch_size=self.physical_batch_size,
        )
        return PrivateStep(setup, privacy)

    def check(self, expected_size: float, batch_size: int) -> None:
        batch_size = self.batch_size or batch_size
        if batch_size > expected_size:
            raise InputError(
                f"batch_size is {batch_size}; under {self.name} it must not exceed the expected training set size, "
                f"{expected_size:g}"
            )
        self.delta_for(expected_size)

    def relative_cost(self, steps: int, batch_size: int) -> float:
        # a private step takes 1.5 times as long as a plain one on the default UNet, less on a larger one
        rows = (self.steps or steps) * (self.batch_size or batch_size) * self.noise_multiplicity
        return 1.5 * rows / (steps * batch_size)

    def delta_for(self, expected_size: float) -> float:
        """delta; by default the largest power of ten below 1 / expected_size, at most 1e-5.

        Raises `InputError` for a delta of 1 / expected_size or more: a mechanism that publishes one random image would
        satisfy it.
        """
        if self.delta is None:
            return 10.0 ** -max(5, math.floor(math.log10(expected_size)) + 1)
        if self.delta * expected_size >= 1:
            raise InputError(
                f"{self.name}.delta is {self.delta}; it must be below 1 / (expected training set size), "
                f"{1 / expected_size:.2g}"
            )
        return self.delta
