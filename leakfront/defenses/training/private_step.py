"""The training step of DP-SGD: a Poisson batch, clipped per-image gradients, noise, and the privacy account."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from opacus.accountants import create_accountant
from opacus.optimizers import DPOptimizer, DPPerLayerOptimizer

from leakfront.defenses.contract import Guarantee, TrainingSetup
from leakfront.defenses.training.accounting import (
    History,
    find_noise_multiplier,
    group_epsilon,
    precision_of,
    spent_epsilon,
)
from leakfront.defenses.training.per_example_gradients import GradientCheck, per_example_gradients, refuse_layers
from leakfront.defenses.training.plain_step import make_optimizer
from leakfront.defenses.training.ranks import Ranks
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
        # Any, since Opacus adds the attribute grad_sample
        self._named: dict[str, Any] = {name: p for name, p in setup.network.named_parameters() if p.requires_grad}
        self._check = GradientCheck(self._named, privacy.defense)
        self._images_seen = self._images_clipped = 0
        self.optimizer = self._make_optimizer()
        # called once per logical step, after the noise and before the weights change
        self.optimizer.attach_step_hook(self._accountant.get_optimizer_hook_fn(sample_rate=self.sampling_rate))

    def _make_optimizer(self) -> DPOptimizer:
        setup, privacy = self._setup, self._privacy
        settings = {
            "noise_multiplier": find_noise_multiplier(
                privacy.epsilon, privacy.delta, self.sampling_rate, setup.steps, privacy.accountant, privacy.defense
            ),
            "expected_batch_size": setup.batch_size,
        }
        if privacy.clipping == "flat":
            flat = _summed_over(setup.ranks, DPOptimizer)
            return flat(make_optimizer(setup), max_grad_norm=privacy.max_grad_norm, **settings)
        per_layer = _summed_over(setup.ranks, DPPerLayerOptimizer)
        return per_layer(make_optimizer(setup), max_grad_norm=self._layer_bounds(), **settings)

    def _layer_bounds(self) -> list[float]:
        """C / sqrt(K) for each of the K trainable tensors, so that an image moves all of them by at most C together."""
        return [self._privacy.max_grad_norm / math.sqrt(len(self._named))] * len(self._named)

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        chance = torch.rand(self._setup.size, dtype=torch.float64, generator=generator)
        return (chance < self.sampling_rate).nonzero().flatten()

    def update(self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> float:
        network, draws, ranks = self._setup.network, self._privacy.noise_multiplicity, self._setup.ranks
        loss, clipped = shared(self._setup.loss, ranks, draws), 0
        chunk = self._privacy.physical_batch_size // draws
        starts = range(0, max(len(images), 1), chunk)  # an empty batch is one empty chunk
        total = 0.0
        self.optimizer.generator = _noise_generator(generator, next(network.parameters()).device)
        with per_example_gradients(network):
            for start in starts:
                rows = images[start : start + chunk].repeat_interleave(draws, dim=0)
                if len(rows):
                    rows = self._setup.augment(rows, generator)  # augments each draw of an image on its own
                    row_labels = labels[start : start + chunk].repeat_interleave(draws, dim=0)
                    losses = loss(network, rows, row_labels, generator)
                    total += losses.detach().sum().item()
                if ranks.is_idle(len(rows), draws):
                    for parameter in self._named.values():
                        parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
                else:
                    torch.autograd.backward(losses.sum())
                    self._check.verify()
                    clipped += self._average_draws(draws)
                self.optimizer.signal_skip_step(do_skip=start != starts[-1])
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
        self._images_seen += len(images)
        self._images_clipped += ranks.total(clipped, self._setup.device)
        return total / (len(images) * draws) if len(images) else math.nan

    def _average_draws(self, draws: int) -> int:
        """Turn the gradients of rows into those of images, the mean over draws; the number that will be clipped.

        A gradient that is not finite becomes zero: it cannot be clipped, so one image could turn the sum into nan.
        """
        for parameter in self._named.values():
            if draws > 1:
                parameter.grad_sample = parameter.grad_sample.unflatten(0, (-1, draws)).mean(dim=1)
        layer_norms = torch.stack([p.grad_sample.flatten(1).norm(dim=1) for p in self._named.values()])
        norms = layer_norms.norm(dim=0)
        if self._privacy.clipping == "flat":
            within = norms <= self._privacy.max_grad_norm
        else:
            within = (layer_norms <= layer_norms.new_tensor(self._layer_bounds())[:, None]).all(dim=0)
        broken = ~norms.isfinite()
        if broken.any():
            for parameter in self._named.values():
                parameter.grad_sample[broken] = 0
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

    def _epsilon(self, accountant: str, history: History | None = None) -> float:
        ran = tuple(self._accountant.history) if history is None else history
        return spent_epsilon(ran, self._privacy.delta, accountant, precision_of(self._privacy.epsilon))

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
        # where the last step depends on the weights, only the epsilon of all planned steps is proven
        planned = ((float(self.optimizer.noise_multiplier), self.sampling_rate, self._setup.steps),)
        history = planned if self._setup.stopping is not None else tuple(self._accountant.history)
        copies, delta = self._setup.dataset.copies, self._privacy.delta
        return Guarantee(
            epsilon=self._epsilon(self._privacy.accountant, history),
            delta=delta,
            accountant=self._privacy.accountant,
            unit=self._setup.unit + (" (one copy of it)" if copies > 1 else ""),
            group=copies,
            group_epsilon=group_epsilon(history, delta, copies) if copies > 1 else None,
        )


def _summed_over(ranks: Ranks, kind: type[DPOptimizer]) -> type[DPOptimizer]:
    """The optimizer class `kind` with the clipped gradients summed over the ranks before the noise is added.

    All ranks draw the noise from equal generators, so the sum contains it once.
    """

    class Summed(kind):  # type: ignore[misc]
        def add_noise(self) -> None:
            ranks.all_reduce([parameter.summed_grad for parameter in self.params])
            super().add_noise()

    return Summed


def _noise_generator(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """`generator` itself, or a generator on the network's device with a seed drawn from it."""
    if device.type == generator.device.type:
        return generator
    return torch.Generator(device).manual_seed(int(torch.randint(2**63 - 1, (), generator=generator)))
