"""The training step of DP-SGD: a Poisson batch, clipped per-image gradients, noise, and the privacy account."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from opacus.accountants import create_accountant

from leakfront.defenses.contract import ONE_COPY, Guarantee, TrainingSetup
from leakfront.defenses.training.accounting import (
    History,
    find_noise_multiplier,
    group_epsilon,
    precision_of,
    spent_epsilon,
)
from leakfront.defenses.training.book_keeping import BookKeeping, PrivateOptimizer, UnsupportedError
from leakfront.defenses.training.gradient_check import GradientCheck, refuse_layers
from leakfront.defenses.training.plain_step import make_optimizer
from leakfront.defenses.training.sharded import shared
from leakfront.errors import InputError


@dataclass(frozen=True)
class Privacy:
    """The parameters of a private step; see `leakfront.defenses.dp_sgd.DPSGD`.

    defense: the name of the defense, for errors. delta: below 1 / the expected size of the training set.
    """

    defense: str
    epsilon: float
    delta: float
    accountant: Literal["prv", "rdp"]
    max_grad_norm: float
    clipping: Literal["flat", "per_layer"]
    noise_multiplicity: int
    physical_batch_size: int


class PrivateStep:
    """Poisson batches; Adam on the clipped and noised mean gradient. See `leakfront.defenses.dp_sgd.DPSGD`.

    The noise multiplier is found on construction, for the steps, batch size and expected set size of `setup`. All
    random numbers come from the generators passed in. The order of the draws, and so the values of (t, eps), depend on
    physical_batch_size; the distribution of the result does not.

    Raises `InputError` for a network or parameters with which the guarantee would not hold.
    """

    def __init__(self, setup: TrainingSetup, privacy: Privacy) -> None:
        refuse_layers(setup.network, privacy.defense)
        if setup.mixes_images:
            raise InputError(
                f"{privacy.defense} cannot be stacked with an augmentation that mixes images, such as policy 'mixup': "
                "an image would influence the gradients of others"
            )
        self.sampling_rate = setup.batch_size / setup.expected_size
        self._setup, self._privacy = setup, privacy
        self._accountant = create_accountant(privacy.accountant)
        named = {name: p for name, p in setup.network.named_parameters() if p.requires_grad}
        self._trained = len(named)
        self._check = GradientCheck(named, privacy.defense)
        self._book = BookKeeping(setup.network, privacy.noise_multiplicity)
        self._images_seen = self._images_clipped = 0
        self.optimizer = self._make_optimizer()
        # called once per logical step, after the noise and before the weights change
        self.optimizer.attach_step_hook(self._accountant.get_optimizer_hook_fn(sample_rate=self.sampling_rate))

    def _make_optimizer(self) -> PrivateOptimizer:
        setup, privacy = self._setup, self._privacy
        return PrivateOptimizer(
            make_optimizer(setup),
            noise_multiplier=find_noise_multiplier(
                privacy.epsilon, privacy.delta, self.sampling_rate, setup.steps, privacy.accountant, privacy.defense
            ),
            max_grad_norm=privacy.max_grad_norm,
            expected_batch_size=setup.batch_size,
            add_up=lambda sums: setup.ranks.all_reduce([sums]),
        )

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        chance = torch.rand(self._setup.size, dtype=torch.float64, generator=generator)
        return (chance < self.sampling_rate).nonzero().flatten()

    def update(self, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator) -> float:
        network, draws, ranks = self._setup.network, self._privacy.noise_multiplicity, self._setup.ranks
        loss, total, clipped = shared(self._setup.loss, ranks, draws), 0.0, 0
        chunk = self._privacy.physical_batch_size // draws
        self.optimizer.zero_grad(set_to_none=True)
        with self._book:
            for start in range(0, len(images), chunk):
                rows = images[start : start + chunk].repeat_interleave(draws, dim=0)
                rows = self._setup.augment(rows, generator)  # augments each draw of an image on its own
                given = condition[start : start + chunk].repeat_interleave(draws, dim=0)
                given = self._setup.recondition(given, generator)
                try:
                    losses = loss(network, rows, given, generator)
                    if not ranks.is_idle(len(rows), draws):
                        self._check.backward(self._book, losses, ranks.share(len(rows), draws), draws)
                        clipped += self._add_clipped()
                except UnsupportedError as error:
                    raise InputError(
                        f"{self._privacy.defense}: the network cannot be trained privately: {error}"
                    ) from error
                total += losses.detach().sum().item()
                self._book.clear()
        self.optimizer.generator = _noise_generator(generator, next(network.parameters()).device)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._images_seen += len(images)
        self._images_clipped += ranks.total(clipped, self._setup.device)
        return total / (len(images) * draws) if len(images) else math.nan

    def _add_clipped(self) -> int:
        """Add the clipped gradients of the images in the book to `.grad`; the number that were longer than the bound.

        A gradient that is not finite becomes zero: it cannot be clipped, so one image could turn the sum into nan.
        """
        book, bound = self._book, self._privacy.max_grad_norm
        norms = book.norms()
        broken = ~norms.isfinite()
        weights: torch.Tensor | dict[torch.nn.Parameter, torch.Tensor]
        if self._privacy.clipping == "flat":
            within, weights = norms <= bound, _clipping_weights(norms, bound)
        else:
            # C / sqrt(K) for each of the K tensors, so that an image moves all of them by at most C together
            bound /= math.sqrt(self._trained)
            of_tensors = {parameter: squared.sqrt() for parameter, squared in book.squared_norms().items()}
            within = (torch.stack([*of_tensors.values()]) <= bound).all(dim=0)
            weights = {parameter: _clipping_weights(own, bound) for parameter, own in of_tensors.items()}
        if broken.any():
            book.forget(broken)
        for parameter, total in book.weighted_sums(weights).items():
            parameter.grad = total if parameter.grad is None else parameter.grad.add_(total)
        return int((~within).sum())

    def state_dict(self) -> dict[str, Any]:
        return {
            "optimizer": self.optimizer.state_dict(),
            "history": [list(stretch) for stretch in self._accountant.history],
            "images_seen": self._images_seen,
            "images_clipped": self._images_clipped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])
        self._accountant.history[:] = [(float(sigma), float(q), int(n)) for sigma, q, n in state["history"]]
        self._images_seen, self._images_clipped = int(state["images_seen"]), int(state["images_clipped"])

    def _history(self) -> History:
        """The steps that count: those that ran. Where the last step depends on the weights, all that were planned."""
        if self._setup.stopping is None:
            return tuple(self._accountant.history)
        return ((float(self.optimizer.noise_multiplier), self.sampling_rate, self._setup.steps),)

    def _epsilon(self, accountant: str) -> float:
        return spent_epsilon(self._history(), self._privacy.delta, accountant, precision_of(self._privacy.epsilon))

    def report(self) -> dict[str, float]:
        steps = sum(n for _, _, n in self._accountant.history)
        return {
            "epsilon": self._epsilon(self._privacy.accountant),
            "epsilon_rdp": self._epsilon("rdp"),
            "delta": self._privacy.delta,
            "noise_multiplier": float(self.optimizer.noise_multiplier),
            "sampling_rate": self.sampling_rate,
            "private_steps": float(steps),
            "mean_batch_size": self._images_seen / steps if steps else math.nan,
            "clipped_fraction": self._images_clipped / self._images_seen if self._images_seen else math.nan,
        }

    def guarantee(self) -> Guarantee:
        history, copies, delta = self._history(), self._setup.dataset.copies, self._privacy.delta
        alone = self._setup.dataset.subject_of is None
        return Guarantee(
            epsilon=self._epsilon(self._privacy.accountant),
            delta=delta,
            accountant=self._privacy.accountant,
            unit=self._setup.unit + (ONE_COPY if copies > 1 and alone else ""),
            group=copies,
            group_epsilon=group_epsilon(history, delta, copies) if copies > 1 else None,
            history=history,
        )


def _clipping_weights(norms: torch.Tensor, bound: float) -> torch.Tensor:
    """Opacus' factors; 0 for a norm that is not finite."""
    return (bound / (norms + 1e-6)).clamp(max=1.0).nan_to_num(0.0)


def _noise_generator(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """`generator` itself, or a generator on the network's device with a seed drawn from it."""
    if device.type == generator.device.type:
        return generator
    return torch.Generator(device).manual_seed(int(torch.randint(2**63 - 1, (), generator=generator)))
