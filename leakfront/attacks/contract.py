"""What an attack receives and what it returns. Nothing here holds the coins of the model under attack."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
from annotated_types import Ge, MinLen

from leakfront.registry import Plugin

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries
    from leakfront.models.contract import DiffusionModel

Access = Literal["none", "samples", "discriminator", "loss", "gradients"]
ShadowUse = Literal["none", "choices", "fit"]
# a parameter of an attack: one or more noise levels, 0 … T - 1
Timesteps = Annotated[tuple[Annotated[int, Ge(0)], ...], MinLen(1)]


class Signal(Protocol):
    """A measurement of the model on images: any frozen dataclass of parameters with this method.

    Equal signals of different attacks are measured once.
    """

    def measure(self, queries: Queries) -> dict[str, torch.Tensor]:
        """Named tensors [N, …], with one entry for each of the N images in the batch of `queries`."""


def signal_key(signal: Any) -> str:
    """The name under which a signal or a generation is stored: its class and its parameters."""
    parameters = ",".join(f"{k}={v}" for k, v in sorted(asdict(signal).items()))
    return f"{type(signal).__name__}({parameters})"


class Signals(Mapping[Any, Mapping[str, np.ndarray]]):
    """The stored arrays of one model: by signal what was measured, or by generation what was generated."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        """`arrays` maps "<signal key>/<name>" to an array."""
        self._arrays = arrays

    def __getitem__(self, signal: Any) -> Mapping[str, np.ndarray]:
        prefix = signal_key(signal) + "/"
        names = [key for key in self._arrays if key.startswith(prefix)]
        if not names:
            raise KeyError(signal_key(signal))
        return {name.removeprefix(prefix): self._arrays[name] for name in names}

    def __iter__(self) -> Iterator[str]:
        return iter({key.rsplit("/", 1)[0] for key in self._arrays})

    def __len__(self) -> int:
        return len(set(iter(self)))


@dataclass(frozen=True)
class PoolView:
    """What an attacker knows of the pool: the candidate images, but not which of them are members.

    images: uint8 [P, C, H, W]. labels: int64 [P]. features: float64 [P, d], from the run's feature extractor; if it was
    fitted several times, from the first fit. variants: uint8 [V, C, H, W], every picture of these images that training
    may have seen. variant_of: int64 [V], the pool image that each variant shows. If all copies are exact, the variants
    are the images themselves. conditions: int64 [P, ...], what the model is conditioned on for each image: zeros [P],
    classes [P], or the token ids of captions [P, L]. copies: int64 [P], how often training sees an image if it is a
    member, as planned for members and decoys alike. captions: P texts, or None if the data has none. decoded: P for a
    latent model, whose samples come out of an autoencoder, else 0: so many of the variants, the last ones, are the pool
    images in their order after one encode and decode.
    """

    images: np.ndarray
    labels: np.ndarray
    features: np.ndarray
    variants: np.ndarray
    variant_of: np.ndarray
    conditions: np.ndarray
    copies: np.ndarray
    captions: tuple[str, ...] | None = None
    decoded: int = 0


class Sampling(Protocol):
    """The run's sampler."""

    def __call__(
        self,
        conditions: np.ndarray | torch.Tensor,
        seeds: Sequence[int],
        *,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """Images uint8 [n, C, H, W]; each depends on its own condition and seed alone, not on the others or on n.

        conditions: int64 [n, ...], as in `PoolView`, or float32, what the model's `embed` returned for such. seeds: n
        different numbers in 0 … 2^63 - 1, which decide their noise. steps and guidance: by default those of the run.
        """


@dataclass(frozen=True)
class GenerationContext:
    """What a generation works with.

    model: the model under attack; nothing for a generation that is `served`. pool: what is known of the pool. samples:
    what the model has generated so far, uint8 [N, C, H, W], with features [N, d]. seed: for random choices. draw: as
    many images as there are samples, with their seeds, from a changed model. sample: any number of images for any
    conditions. keep(name, make): the arrays that `make()` returns, or those that it returned under this name before the
    run was interrupted; a long generation is made of such parts. signals: what was measured on the pool, by signal, for
    a generation whose attack asks for it.
    """

    model: DiffusionModel
    pool: PoolView
    samples: np.ndarray
    features: np.ndarray
    seed: int
    draw: Callable[[DiffusionModel], np.ndarray]
    sample: Sampling
    keep: Callable[[str, Callable[[], dict[str, np.ndarray]]], Mapping[str, np.ndarray]]
    signals: Mapping[Any, Mapping[str, np.ndarray]] = field(default_factory=dict)


@dataclass(frozen=True)
class Generated:
    """images: uint8 [G, C, H, W], for any G. prompt: int64 [G], the pool image whose condition each was asked for.

    It is -1 for an image that was not asked for by the condition of a pool image.
    """

    images: np.ndarray
    prompt: np.ndarray


class Generation(Protocol):
    """A way of generating images that the attack chooses: any frozen dataclass of parameters with these methods.

    served: whether it only samples the model, by `GenerationContext.sample`, as those can whom it is served to. Behind
    defenses that guard the sampler it is then made twice, as served and with the weights.
    """

    served: ClassVar[bool]

    def generate(self, context: GenerationContext) -> Generated:
        """The images."""

    def images(self, pool: int, samples: int) -> float:
        """About how many images of the run's sampler it takes as long as, for estimates of time.

        pool, samples: the numbers of pool images and of the run's samples.
        """


@dataclass(frozen=True)
class Outside:
    """Images from outside the pool. Everybody knows that no model trained on them.

    images: uint8 [N, C, H, W]. signals: the model's answers on these images to `Attack.outside_signals`.
    """

    images: np.ndarray
    signals: Mapping[Any, Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Target:
    """A model under attack, seen only through what it generated and what was measured on it.

    samples: uint8 [G, C, H, W] in the order of their seeds. sample_labels: int64 [G], the condition that each sample
    was asked for: its class, or the number of its caption; 0 for an unconditional model. generated: {"images": uint8
    [G, C, H, W], "prompt": int64 [G]} for each of the attack's generations (see `Generated`). signals: named arrays
    [P, …] for each of the attack's signals.
    outside: known non-members. seed: for the attack's own random choices. extract: features float64 [n, d] of images
    uint8 [n, C, H, W], as `PoolView.features` has them of the pool.
    """

    pool: PoolView
    samples: np.ndarray
    sample_labels: np.ndarray
    signals: Mapping[Any, Mapping[str, np.ndarray]]
    generated: Mapping[Any, Mapping[str, np.ndarray]]
    outside: Outside
    seed: int
    extract: Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Shadow(Target):
    """A model of another split under the same defense. The attacker knows its coins: members bool [P]."""

    members: np.ndarray


@dataclass
class Scores:
    """An attack's verdict on the pool.

    score: float64 [P]; a higher score means that the image is more likely a member. matched: for fixed rules, which
    have no threshold left to choose, the pool images that each rule calls extracted, bool [P]. evidence: arrays for
    figures. choices: what the attack chose and from what, as JSON holds it; {"chosen by": the reason, …}. extraction:
    float64 [P], by which counts of extracted images rank, if not by the score: how surely this image itself is shown.
    """

    score: np.ndarray
    matched: dict[str, np.ndarray] = field(default_factory=dict)
    evidence: dict[str, np.ndarray] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    extraction: np.ndarray | None = None


class Attack(Plugin):
    """The base of every attack: a frozen dataclass of its parameters. Only `score` must be overridden.

    Class attributes: `name` (set by registration). `access`, what the attacker needs of the model. `summary`, one line
    for `leakfront list`. `extracts`, whether it matches generated images, so that its finds are counted.
    `needs_captions`, whether it works on text models alone; `needs_null`, `needs_base`, whether the model must know an
    empty caption, or what it was fine-tuned from; `needs_discriminator`, whether it asks a generator's discriminator
    and no noise predictions. `of_captions`, whether it looks at captions alone, never at an image: only captions that
    were seen often stand out then, and the AUC among planted pairs is reported, too. `shadows`, the use of shadow
    models: none; choices (a timestep, a sign, a distance; without shadow models the source's default holds); or a fit
    (of a classifier, a distribution), which needs `minimum_shadows` of them.
    """

    section = "attacks"
    access: ClassVar[Access]
    extracts: ClassVar[bool] = False
    needs_captions: ClassVar[bool] = False
    needs_null: ClassVar[bool] = False
    needs_base: ClassVar[bool] = False
    needs_discriminator: ClassVar[bool] = False
    shadows: ClassVar[ShadowUse] = "none"
    minimum_shadows: ClassVar[int] = 0
    of_captions: ClassVar[bool] = False

    def shadows_needed(self) -> int:
        """The fewest shadow models that it works with: `minimum_shadows`, but 1 for a score that is `calibrated`."""
        return max(self.minimum_shadows, int(getattr(self, "calibrated", False)))

    @property
    def shadow_use(self) -> str:
        """What it uses shadow models for: none, choices, fit, or calibration alone."""
        return "calibration" if self.shadows == "none" and self.shadows_needed() else self.shadows

    @property
    def compares_with_null(self) -> bool:
        """Whether it asks with the empty caption: `needs_null`, unless that depends on its parameters."""
        return self.needs_null

    @property
    def uses_shadows(self) -> bool:
        """Whether its scores depend on shadow models, if there are any."""
        return self.shadow_use != "none"

    def minimum_pool(self) -> int:
        """The fewest pool images that it works on."""
        return 2

    def set_sizes(self) -> tuple[int, ...]:
        """The sizes of the sets whose membership it tests as a whole; empty if it judges single images only."""
        return ()

    @property
    def signal(self) -> Signal | None:
        """The one thing that it asks of the model on every pool image. `score` reads it as
        `target.signals[self.signal]`."""
        return None

    def signals(self) -> Sequence[Signal]:
        """All that it asks of the model on every pool image; override it only for several signals."""
        return [] if self.signal is None else [self.signal]

    def outside_signals(self) -> Sequence[Signal]:
        """All that it asks of the model on images outside the pool."""
        return []

    def generations(self) -> Sequence[Generation]:
        """All that it makes the model generate."""
        return []

    def note(self, shadows: int) -> str:
        """One line on what changes with this number of shadow models: why the attack is left out, or what it does
        instead; empty if nothing changes."""
        needed = self.shadows_needed()
        if shadows < needed:
            models = "shadow model" if needed == 1 else "shadow models"
            return (
                f"left out: it needs {needed} {models} (other splits of the same defense), "
                f"and there {'is' if shadows == 1 else 'are'} {shadows}"
            )
        return "nothing is chosen: the source's defaults hold" if self.shadows == "choices" and not shadows else ""

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        """Score every pool image. The scores must depend neither on the order of the pool nor on the target's coins."""
        raise NotImplementedError
