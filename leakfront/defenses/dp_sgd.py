"""Differentially private training."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from leakfront.defenses import Defense, register
from leakfront.errors import InputError

if TYPE_CHECKING:
    from leakfront.defenses import TrainingSetup
    from leakfront.defenses.training.private_step import History


@register("dp_sgd")
@dataclass(frozen=True)
class DPSGD(Defense):
    """DP-SGD (Abadi et al. 2016, arXiv 1607.00133) by Opacus, with the noise multiplicity of DPDM.

    Each step takes every image with the same small probability (Poisson sampling), clips the gradient of each image to
    the norm C, sums them, adds Gaussian noise of standard deviation sigma C, and divides by the expected batch size.
    Noise multiplicity K (Dockhorn et al., DPDM, TMLR 2023, arXiv 2210.09929): each image's loss is the
    mean over K draws of (t, eps) *before* its gradient is clipped, at no cost in privacy. Augmentation multiplicity (De
    et al. 2022, arXiv 2204.13650, section 3): where a defense that augments is stacked with this one, each of the K
    draws of an image is augmented on its own, at no cost in privacy either, since their mean is clipped as one.

    Clipping: "flat" clips the gradient of all K' trained tensors together to C; "per_layer" clips that of each tensor
    (Opacus calls a weight or a bias a layer) to C / sqrt(K'), with the same total bound C and so the same noise.

    The sampling rate is batch_size / the expected size of the training set over the coins; the true size is private.
    The noise multiplier sigma is the smallest that keeps the whole run within (epsilon, delta), by the accountant.

    What the guarantee covers: everything computed from the trained weights, hence any attacker who holds them (EMA
    weights too), for adding or removing one image of the training set. Copies of an image are images of their own;
    `group_epsilon` says what is left for all copies of one image together.
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
    clipping: Literal["flat", "per_layer"] = "flat"  # what is clipped: the whole gradient or each tensor's
    accountant: Literal["prv", "rdp"] = "prv"
    batch_size: int | None = None  # the expected one; None, here and in the next three: as the benchmark has it
    steps: int | None = None
    learning_rate: float | None = None
    ema_decay: float | None = None
    physical_batch_size: int = 256  # images x draws in memory at once; changes memory and speed, not the mathematics

    def __post_init__(self) -> None:
        for key in ("epsilon", "max_grad_norm", "learning_rate"):
            value = getattr(self, key)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{self.name}.{key} is {value}; it must be a positive number")
        for key in ("noise_multiplicity", "batch_size", "steps", "physical_batch_size"):
            value = getattr(self, key)
            if value is not None and (value < 1 or value != int(value)):
                raise InputError(f"{self.name}.{key} is {value}; it must be a whole number of at least 1")
        if self.ema_decay is not None and not 0 <= self.ema_decay < 1:
            raise InputError(f"{self.name}.ema_decay is {self.ema_decay}; it must be at least 0 and below 1")
        if self.delta is not None and not 0 < self.delta < 1:
            raise InputError(f"{self.name}.delta is {self.delta}; it must lie between 0 and 1")
        if self.clipping not in ("flat", "per_layer"):
            raise InputError(f"{self.name}.clipping is {self.clipping!r}; it must be 'flat' or 'per_layer'")
        if self.accountant not in ("prv", "rdp"):
            raise InputError(f"{self.name}.accountant is {self.accountant!r}; it must be 'prv' or 'rdp'")
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
        from leakfront.defenses.training.private_step import PrivateStep

        setup.batch_size = self.batch_size or setup.batch_size
        setup.steps = self.steps or setup.steps
        setup.learning_rate = self.learning_rate or setup.learning_rate
        setup.ema_decay = setup.ema_decay if self.ema_decay is None else self.ema_decay
        setup.make_step = partial(PrivateStep, defense=self)
        return setup

    def check(self, expected_size: float, batch_size: int) -> None:
        batch_size = self.batch_size or batch_size
        if batch_size > expected_size:
            raise InputError(
                f"batch_size is {batch_size}; under {self.name} it must not exceed the expected training set size, "
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
                f"{self.name}.delta is {self.delta}; it must be below 1 / (expected training set size), "
                f"{1 / expected_size:.2g}"
            )
        return self.delta


def group_epsilon(history: History, delta: float, copies: int) -> float:
    """An upper bound on the epsilon of `history` for adding or removing all `copies` of an image at once.

    A step takes each of the k copies with probability q, so that they move the clipped sum by at most j C where j is
    Binomial(k, q). The worst case is the mixture sum_j P(j) N(j, sigma^2) against N(0, sigma^2) (Ganesh 2024, arXiv
    2401.10294, for Poisson sampling). Its Renyi divergences, the larger of both directions at each order, add up over
    the steps and become epsilon as in Opacus' RDP accountant, with which this agrees at k = 1. The rule for any
    mechanism, (k epsilon, k e^((k - 1) epsilon) delta), says nothing at the epsilons that images are trained with.

    Raises `InputError` for fewer than one copy.
    """
    from opacus.accountants import RDPAccountant
    from opacus.accountants.analysis.rdp import get_privacy_spent

    if copies < 1:
        raise InputError(f"copies is {copies}; it must be a whole number of at least 1")
    if not history:
        return 0.0
    if any(sigma == 0 for sigma, _, _ in history):
        return math.inf
    orders = np.asarray(RDPAccountant.DEFAULT_ALPHAS, dtype=float)
    divergence = sum(steps * _group_divergence(sigma, rate, copies, orders) for sigma, rate, steps in history)
    with warnings.catch_warnings():  # on the range of Renyi orders: harmless to the bound
        warnings.simplefilter("ignore")
        epsilon, _ = get_privacy_spent(orders=orders, rdp=divergence, delta=delta)
    return float(epsilon)


def _group_divergence(sigma: float, rate: float, copies: int, orders: np.ndarray) -> np.ndarray:
    """The Renyi divergences of one step, by the trapezoid rule, which is exact to rounding for such integrands."""
    from scipy.special import logsumexp
    from scipy.stats import binom, norm

    reach = orders.max() * copies + 14 * sigma  # P^a Q^(1 - a) has its mass around 0 … a k, or around -(a - 1) k … 0
    width = min(sigma, sigma**2) / 10
    x = np.linspace(-reach, reach, 2 * math.ceil(reach / width) + 1)
    without = norm.logpdf(x, 0, sigma)
    with_copies = np.full_like(x, -np.inf)
    for j in range(copies + 1):
        with_copies = np.logaddexp(with_copies, binom.logpmf(j, copies, rate) + norm.logpdf(x, j, sigma))

    def divergence(p: np.ndarray, q: np.ndarray, order: float) -> float:
        return float(logsumexp(order * p + (1 - order) * q) + math.log(x[1] - x[0])) / (order - 1)

    return np.array([max(divergence(with_copies, without, a), divergence(without, with_copies, a)) for a in orders])
