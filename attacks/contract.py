"""What an attack is handed and what it returns. Nothing here holds the coins of the model under attack."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

    from attacks.queries import Queries

Access = Literal["samples", "loss", "gradients"]


class Signal(Protocol):
    """A measurement that attacks ask of the model on every pool image; a frozen dataclass of its parameters.

    Equal signals of different attacks are measured once.
    """

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        """Named tensors [N, …], one entry for each of the N images of the batch that `queries` holds."""


def signal_key(signal: Signal) -> str:
    """The name under which a signal is stored: its class and parameters."""
    parameters = ",".join(f"{k}={v}" for k, v in sorted(asdict(signal).items()))  # type: ignore[call-overload]
    return f"{type(signal).__name__}({parameters})"


class Signals(Mapping[Any, Mapping[str, np.ndarray]]):
    """The measured signals of one model, read from storage when they are asked for."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        """`arrays` maps "<signal key>/<name>" to an array [P, …]."""
        self._arrays = arrays

    def __getitem__(self, signal: Signal) -> Mapping[str, np.ndarray]:
        prefix = signal_key(signal) + "/"
        found = {k.removeprefix(prefix): v for k, v in self._arrays.items() if k.startswith(prefix)}
        if not found:
            raise KeyError(signal_key(signal))
        return found

    def __iter__(self) -> Any:
        return iter({k.rsplit("/", 1)[0] for k in self._arrays})

    def __len__(self) -> int:
        return len(set(iter(self)))


@dataclass(frozen=True)
class PoolView:
    """What an attacker knows of the pool: the candidate images, not which of them are members.

    images: uint8 [P, C, H, W]; labels: int64 [P]. variants: uint8 [V, C, H, W], every picture that training may have
    seen of them, and variant_of: int64 [V], the pool image that each shows (the images themselves for exact copies).
    """

    images: np.ndarray
    labels: np.ndarray
    variants: np.ndarray
    variant_of: np.ndarray


@dataclass(frozen=True)
class Target:
    """A model under attack, through its access alone: samples it generated and signals measured on it.

    samples: uint8 [G, C, H, W] in the order of their seeds. seed: for an attack's own random choices.
    """

    pool: PoolView
    samples: np.ndarray
    signals: Mapping[Any, Mapping[str, np.ndarray]]
    seed: int


@dataclass(frozen=True)
class Shadow(Target):
    """A model of another split under the same defense, whose coins the attacker knows: members bool [P]."""

    members: np.ndarray


@dataclass
class Scores:
    """An attack's verdict on the pool.

    score: float64 [P], higher means likelier a member. matched: for fixed rules (no threshold left to choose), which
    pool images each rule calls extracted, bool [P]. evidence: arrays to draw figures from. choices: what was chosen on
    shadow models, or the source's default where there was none.
    """

    score: np.ndarray
    matched: dict[str, np.ndarray] = field(default_factory=dict)
    evidence: dict[str, np.ndarray] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)


class Attack(Protocol):
    """A frozen dataclass of an attack's parameters."""

    name: ClassVar[str]
    access: ClassVar[Access]
    summary: ClassVar[str]

    def minimum_pool(self) -> int:
        """The fewest pool images that it works on."""

    def signals(self) -> Sequence[Signal]:
        """What it asks of the model; empty for attacks on samples."""

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        """Score every pool image; does not depend on the order of the pool, nor on any coin of the target."""
