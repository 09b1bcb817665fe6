"""What an attack is handed and what it returns. Nothing here holds the coins of the model under attack."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries
    from leakfront.models.contract import DiffusionModel

Access = Literal["none", "samples", "loss", "gradients"]
Shadows = Literal["none", "choices", "fit"]


class Signal(Protocol):
    """A measurement that attacks ask of the model on images; a frozen dataclass of its parameters.

    Equal signals of different attacks are measured once.
    """

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        """Named tensors [N, …], one entry for each of the N images of the batch that `queries` holds."""


class Generation(Protocol):
    """Images that an attack makes the model generate in a way of its own; a frozen dataclass of its parameters."""

    def generate(
        self,
        model: DiffusionModel,
        samples: np.ndarray,
        features: np.ndarray,
        draw: Callable[[DiffusionModel], np.ndarray],
        seed: int,
    ) -> np.ndarray:
        """Images uint8 [G, C, H, W], as many as the run samples from each model.

        model: the one under attack. samples: what it generated already, uint8 [G, C, H, W], with their features
        [G, d]. draw: samples G images from a model (the one under attack, or that changed) by the run's sampler.
        """


def signal_key(signal: Any) -> str:
    """The name under which a signal or a generation is stored: its class and parameters."""
    parameters = ",".join(f"{k}={v}" for k, v in sorted(asdict(signal).items()))
    return f"{type(signal).__name__}({parameters})"


class Signals(Mapping[Any, Mapping[str, np.ndarray]]):
    """The measured signals of one model by signal, or its generated images by generation."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        """`arrays` maps "<signal key>/<name>" to an array."""
        self._arrays = arrays

    def __getitem__(self, signal: Any) -> Mapping[str, np.ndarray]:
        prefix = signal_key(signal) + "/"
        names = [key for key in self._arrays if key.startswith(prefix)]
        if not names:
            raise KeyError(signal_key(signal))
        return {name.removeprefix(prefix): self._arrays[name] for name in names}

    def __iter__(self) -> Any:
        return iter({k.rsplit("/", 1)[0] for k in self._arrays})

    def __len__(self) -> int:
        return len(set(iter(self)))


@dataclass(frozen=True)
class PoolView:
    """What an attacker knows of the pool: the candidate images, not which of them are members.

    images: uint8 [P, C, H, W]; labels: int64 [P]; features: float64 [P, d], by the run's feature extractor.
    variants: uint8 [V, C, H, W], every picture that training may have seen of them, and variant_of: int64 [V], the
    pool image that each shows (the images themselves for exact copies).
    """

    images: np.ndarray
    labels: np.ndarray
    features: np.ndarray
    variants: np.ndarray
    variant_of: np.ndarray


@dataclass(frozen=True)
class Outside:
    """Images from outside the pool, which everybody knows no model trained on.

    images: uint8 [N, C, H, W]; signals: what `Attack.outside_signals` measured of the model on them.
    """

    images: np.ndarray
    signals: Mapping[Any, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Target:
    """A model under attack, through its access alone: what it generated, and signals measured on it.

    samples: uint8 [G, C, H, W] in the order of their seeds, and sample_labels: int64 [G], the class that each was asked
    for (0 of an unconditional model). generated: {"images": uint8 [G, C, H, W]} for each of the attacks' generations.
    signals: of every pool image. outside: known non-members. seed: for an attack's own random choices.
    """

    pool: PoolView
    samples: np.ndarray
    sample_labels: np.ndarray
    signals: Mapping[Any, Mapping[str, np.ndarray]]
    generated: Mapping[Any, Mapping[str, np.ndarray]]
    outside: Outside
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


class Attack:
    """A frozen dataclass of an attack's parameters; only `score` must be overridden.

    Class attributes: `name` (set by registration); `access`, what the attacker needs of the model; `summary`, one line
    for `leakfront list`; `extracts`, whether it matches generated images, so that what it finds is counted; `shadows`,
    what shadow models are for: nothing, choices (a timestep, a sign, a distance; the source's default stands without
    them) or a fit (of a classifier, a distribution), which needs `minimum_shadows`.
    """

    name: ClassVar[str]
    access: ClassVar[Access]
    summary: ClassVar[str]
    extracts: ClassVar[bool] = False
    shadows: ClassVar[Shadows] = "none"
    minimum_shadows: ClassVar[int] = 0

    def minimum_pool(self) -> int:
        """The fewest pool images that it works on."""
        return 2

    def set_sizes(self) -> tuple[int, ...]:
        """The sizes of sets of images whose membership it tests as a whole; empty if it judges images only."""
        return ()

    def signals(self) -> Sequence[Signal]:
        """What it asks of the model on every pool image."""
        return []

    def outside_signals(self) -> Sequence[Signal]:
        """What it asks of the model on images outside the pool."""
        return []

    def generations(self) -> Sequence[Generation]:
        """What it makes the model generate."""
        return []

    def note(self, shadows: int) -> str:
        """With this number of shadow models: one line on what it does instead, or why it is left out; empty if all is
        well."""
        if shadows < self.minimum_shadows:
            models = "shadow model" if self.minimum_shadows == 1 else "shadow models"
            return (
                f"left out: it needs {self.minimum_shadows} {models} (other splits of the same defense), "
                f"and there {'is' if shadows == 1 else 'are'} {shadows}"
            )
        return "nothing is chosen: the source's defaults hold" if self.shadows == "choices" and not shadows else ""

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        """Score every pool image; does not depend on the order of the pool, nor on any coin of the target."""
        raise NotImplementedError
