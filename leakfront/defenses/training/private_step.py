"""The training step of DP-SGD: a Poisson batch, clipped per-image gradients, noise, and the account of all this."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from opacus.accountants import create_accountant
from opacus.accountants.utils import get_noise_multiplier
from opacus.grad_sample import GradSampleModule
from opacus.optimizers import DPOptimizer, DPPerLayerOptimizer
from torch import nn

from leakfront.defenses.contract import Guarantee, TrainingSetup
from leakfront.defenses.dp_sgd import group_epsilon
from leakfront.defenses.training.conv_grad_sample import install
from leakfront.defenses.training.plain_step import make_optimizer
from leakfront.defenses.training.ranks import Ranks
from leakfront.errors import InputError

if TYPE_CHECKING:
    from leakfront.defenses.dp_sgd import DPSGD

History = tuple[tuple[float, float, int], ...]  # (noise multiplier, sampling rate, steps), one for each stretch
CHECKED_BATCHES = 10  # per-image gradients that are zero at first are verified in one of so many batches


def precision_of(epsilon: float) -> float:
    """To what PRV computes epsilon for a target `epsilon`: 0.5%, but no finer than memory and seconds allow."""
    return max(epsilon / 200, 1e-3)


@lru_cache(maxsize=256)
def spent_epsilon(history: History, delta: float, accountant: str, precision: float) -> float:
    """An upper bound on the epsilon of `history`; PRV's numerical error (at most `precision`) is on the safe side."""
    if not history:
        return 0.0
    if any(sigma == 0 for sigma, _, _ in history):
        return math.inf
    ledger = create_accountant(accountant)
    ledger.history = list(history)
    with warnings.catch_warnings():  # on the range of Renyi orders and on sampling rate 1: both harmless to the bound
        warnings.simplefilter("ignore")
        return float(ledger.get_epsilon(delta, **_options(accountant, precision)))


@lru_cache(maxsize=256)
def find_noise_multiplier(
    epsilon: float, delta: float, sampling_rate: float, steps: int, accountant: str, defense: str = "dp_sgd"
) -> float:
    """The least sigma (to `precision_of(epsilon)`) with which `steps` steps cost at most `epsilon`, or `InputError`."""
    precision = precision_of(epsilon)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sigma = get_noise_multiplier(
                target_epsilon=epsilon,
                target_delta=delta,
                sample_rate=sampling_rate,
                steps=steps,
                accountant=accountant,
                epsilon_tolerance=precision,
                **_options(accountant, precision),
            )
        spent = spent_epsilon(((sigma, sampling_rate, steps),), delta, accountant, precision)
        reason = f"it spends {spent:.4g}"
    except (ValueError, RuntimeError, MemoryError) as error:
        spent, reason = math.nan, str(error)
    if not spent <= epsilon:
        raise InputError(
            f"{defense}.epsilon is {epsilon}; the accountant {accountant!r} finds no noise that reaches it with delta "
            f"{delta:.2g}, sampling rate {sampling_rate:.3g} and {steps} steps ({reason})"
        )
    return float(sigma)


def _options(accountant: str, precision: float) -> dict[str, float]:
    return {"eps_error": precision} if accountant == "prv" else {}


@contextmanager
def per_example_gradients(network: nn.Module) -> Iterator[None]:
    """Within it, backpropagating the *sum* of a batch's losses sets `grad_sample` [B, ...] on each parameter.

    The hooks and attributes are gone on leaving, so that copying, saving and evaluating the network never meet them.
    """
    install()
    hooks = GradSampleModule(network, loss_reduction="sum")  # which hangs them on the layers of `network` itself
    try:
        yield
    finally:
        hooks.to_standard_module()


class PrivateStep:
    """Poisson batches; Adam on the clipped and noised mean gradient. See `leakfront.defenses.dp_sgd.DPSGD`.

    The noise multiplier is found on construction, for the steps, batch size and expected set size of `setup`. All
    random numbers come from the generators handed in; the order in which they are drawn, and so the draws of
    (t, eps), depend on physical_batch_size, the distribution of the result does not.

    Raises `InputError` for a network or parameters with which the guarantee would not hold.
    """

    def __init__(self, setup: TrainingSetup, defense: DPSGD) -> None:
        defense.check(setup.expected_size, setup.batch_size)
        _refuse_layers(setup.network, defense.name)
        if setup.mixes_images:
            raise InputError(
                f"{defense.name} cannot be stacked with an augmentation that mixes images, such as policy 'mixup': an "
                "image would have a say in the gradients of others"
            )
        warnings.filterwarnings("ignore", message="Full backward hook is firing")  # the first layers' input has no grad
        self.sampling_rate = setup.batch_size / setup.expected_size
        self._setup = setup
        self._defense = defense
        self._delta = defense.delta_for(setup.expected_size)
        self._accountant = create_accountant(defense.accountant)
        # Any, since Opacus adds the attribute grad_sample
        self._named: dict[str, Any] = {name: p for name, p in setup.network.named_parameters() if p.requires_grad}
        self._unverified, self._checks_left = set(self._named), CHECKED_BATCHES
        self._images_seen = self._images_clipped = 0
        self.optimizer = self._make_optimizer()
        # called once per logical step, after the noise and before the weights change
        self.optimizer.attach_step_hook(self._accountant.get_optimizer_hook_fn(sample_rate=self.sampling_rate))

    def _make_optimizer(self) -> DPOptimizer:
        setup, defense = self._setup, self._defense
        settings = {
            "noise_multiplier": find_noise_multiplier(
                defense.epsilon, self._delta, self.sampling_rate, setup.steps, defense.accountant, defense.name
            ),
            "expected_batch_size": setup.batch_size,
        }
        if defense.clipping == "flat":
            flat = _shared(DPOptimizer, setup.ranks)
            return flat(make_optimizer(setup), max_grad_norm=defense.max_grad_norm, **settings)
        per_layer = _shared(DPPerLayerOptimizer, setup.ranks)
        return per_layer(make_optimizer(setup), max_grad_norm=self._layer_bounds(), **settings)

    def _layer_bounds(self) -> list[float]:
        """C / sqrt(K) for each of the K trainable tensors, so that an image moves all of them by at most C together."""
        return [self._defense.max_grad_norm / math.sqrt(len(self._named))] * len(self._named)

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        chance = torch.rand(self._setup.size, dtype=torch.float64, generator=generator)
        return (chance < self.sampling_rate).nonzero().flatten()

    def update(self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> float:
        network, draws, ranks = self._setup.network, self._defense.noise_multiplicity, self._setup.ranks
        loss, clipped = ranks.over(self._setup.loss, draws), 0
        chunk = self._defense.physical_batch_size // draws
        starts = range(0, max(len(images), 1), chunk)  # an empty batch is one empty chunk
        total = 0.0
        self.optimizer.generator = _noise_generator(generator, next(network.parameters()).device)
        with per_example_gradients(network):
            for start in starts:
                rows = images[start : start + chunk].repeat_interleave(draws, dim=0)
                if len(rows):
                    rows = self._setup.augment(rows, generator)  # each draw of an image in its own way
                    row_labels = labels[start : start + chunk].repeat_interleave(draws, dim=0)
                    losses = loss(network, rows, row_labels, generator)
                    total += losses.detach().sum().item()
                if ranks.takes_none(len(rows), draws):
                    for parameter in self._named.values():
                        parameter.grad_sample = parameter.new_zeros((0, *parameter.shape))
                else:
                    torch.autograd.backward(losses.sum())
                    clipped += self._prepare_gradients(draws)
                self.optimizer.signal_skip_step(do_skip=start != starts[-1])
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=True)
        self._images_seen += len(images)
        self._images_clipped += ranks.total(clipped, self._setup.device)
        return total / (len(images) * draws) if len(images) else math.nan

    def _prepare_gradients(self, draws: int) -> int:
        """From the gradients of rows to those of images: verified, the mean over draws, and finite; how many of them
        will be clipped."""
        for name, parameter in self._named.items():
            if getattr(parameter, "grad_sample", None) is None:
                raise InputError(
                    f"{self._defense.name}: the trainable parameter {name!r} gets no per-image gradient, so it cannot "
                    "be trained privately; freeze it, or use it through its own module's forward"
                )
        if self._unverified and self._checks_left:
            self._verify_gradients()
        for parameter in self._named.values():
            if draws > 1:
                parameter.grad_sample = parameter.grad_sample.unflatten(0, (-1, draws)).mean(dim=1)
        layer_norms = torch.stack([p.grad_sample.flatten(1).norm(dim=1) for p in self._named.values()])
        norms = layer_norms.norm(dim=0)
        if self._defense.clipping == "flat":
            within = norms <= self._defense.max_grad_norm
        else:
            within = (layer_norms <= layer_norms.new_tensor(self._layer_bounds())[:, None]).all(dim=0)
        broken = ~norms.isfinite()
        if broken.any():  # 0 * inf is no clipping: without this, one image could turn the sum into nan
            for parameter in self._named.values():
                parameter.grad_sample[broken] = 0
        return int((~within).sum())

    def _verify_gradients(self) -> None:
        """Compare with autograd: per-row gradients that do not add up to the gradient come from a broken layer.

        At a single row some errors do not show (see `conv_grad_sample.py`), nor do they where a gradient is zero
        but for rounding (an attention's key bias always, a low-rank adapter's first factor in the first step), so
        neither counts as verified.
        """
        lengths = {name: float(p.grad_sample.flatten(1).norm(dim=1).sum()) for name, p in self._named.items()}
        rounding = 1e-5 * math.hypot(*lengths.values())
        for name, parameter in self._named.items():
            error = float((parameter.grad_sample.sum(dim=0) - parameter.grad).norm())
            if error > 1e-2 * lengths[name] + rounding:
                raise InputError(
                    f"{self._defense.name}: the per-image gradients of {name!r} do not add up to its gradient, so its "
                    "layer cannot be trained privately; replace the layer, or do not share its parameters"
                )
        if len(next(iter(self._named.values())).grad_sample) > 1:
            self._unverified -= {name for name, length in lengths.items() if length > rounding}
            self._checks_left -= 1

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
        return spent_epsilon(ran, self._delta, accountant, precision_of(self._defense.epsilon))

    def report(self) -> dict[str, float]:
        steps = sum(n for _, _, n in self._accountant.history)
        return {
            "epsilon": self._epsilon(self._defense.accountant),
            "epsilon_rdp": self._epsilon("rdp"),
            "delta": self._delta,
            "noise_multiplier": float(self.optimizer.noise_multiplier),
            "sampling_rate": self.sampling_rate,
            "private_steps": float(steps),
            "mean_batch_size": self._images_seen / steps if steps else math.nan,
            "clipped_fraction": self._images_clipped / self._images_seen if self._images_seen else math.nan,
        }

    def guarantee(self) -> Guarantee:
        # where the steps end depends on the weights, what is proven is the epsilon of all that might have been made
        planned = ((float(self.optimizer.noise_multiplier), self.sampling_rate, self._setup.steps),)
        history = planned if self._setup.stopping is not None else tuple(self._accountant.history)
        copies = self._setup.dataset.copies
        return Guarantee(
            epsilon=self._epsilon(self._defense.accountant, history),
            delta=self._delta,
            accountant=self._defense.accountant,
            unit=self._setup.unit + (" (one copy of it)" if copies > 1 else ""),
            group=copies,
            group_epsilon=group_epsilon(history, self._delta, copies) if copies > 1 else None,
        )


def _shared(kind: type[DPOptimizer], ranks: Ranks) -> type[DPOptimizer]:
    """`kind`, of whose clipped gradients the ranks have a part each: they are summed before the noise is added, which
    all ranks draw from equal generators, so that the sum has it once."""

    class Shared(kind):  # type: ignore[misc]
        def add_noise(self) -> None:
            ranks.add_up([parameter.summed_grad for parameter in self.params])
            super().add_noise()

    return Shared


def _noise_generator(generator: torch.Generator, device: torch.device) -> torch.Generator:
    """`generator` itself, or one on the network's device that is seeded by it."""
    if device.type == generator.device.type:
        return generator
    return torch.Generator(device).manual_seed(int(torch.randint(2**63 - 1, (), generator=generator)))


def _refuse_layers(network: nn.Module, defense: str) -> None:
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise InputError(f"{defense}: {name!r} is a BatchNorm, which mixes the images of a batch; use GroupNorm")
    for error in GradSampleModule.validate(network):
        raise InputError(f"{defense}: the network cannot be trained privately: {error}")
