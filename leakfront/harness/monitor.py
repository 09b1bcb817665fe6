"""Whether a model begins to copy, asked while it trains."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from leakfront.errors import InputError
from leakfront.results.statistics.estimate import Estimate


@dataclass(frozen=True)
class Leak:
    """What samples show of the members that they came from.

    samples: their number. members_before_decoys: members that extraction ranks above every decoy. p_value: the
    probability of as many if nothing leaks, share^k for k of them and the share of members; it is that of one look, so
    with many looks small ones come by chance. excess: members matched by the adaptive rule beyond what decoys are, in
    images. dcr_share: the share of samples nearer to members than to decoys (0.5: none); see `results.distances`.
    authenticity_gap, identifiability_gap: see there; 0: none.
    """

    samples: int
    members_before_decoys: int
    p_value: float
    excess: Estimate
    dcr_share: Estimate
    authenticity_gap: Estimate
    identifiability_gap: Estimate


@dataclass
class LeakMonitor:
    """Call it with samples every k steps of your own training; a growing leak is a reason to stop.

    members: training images, a part of them is enough. decoys: images of the same distribution that the training never
    sees, best as many. Both are a folder, an array or a tensor, as for `leakfront.attack`, of at least two images.
    neighbours: of the extraction's adaptive score, lowered if there are fewer images. history: all that it returned.

        monitor = leakfront.LeakMonitor(members, decoys)
        if step % 1000 == 0 and monitor(sample(512)).p_value < 0.001:
            break
    """

    members: Any
    decoys: Any
    neighbours: int = 50
    seed: int = 0
    history: list[Leak] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._sides = {name: _images(getattr(self, name), name) for name in ("members", "decoys")}
        shapes = {images.shape[1:] for images in self._sides.values()}
        if len(shapes) > 1 or min(map(len, self._sides.values())) < 2:
            found = " and ".join(f"{name} {list(images.shape)}" for name, images in self._sides.items())
            raise InputError(f"{found}: both must have at least two images, and all must have one size")

    def __call__(self, samples: Any) -> Leak:
        """Judge samples, as images of `leakfront.attack` are given; of floats in [-1, 1] as models draw them."""
        from leakfront.harness.stages.distance_rows import distances_of, equal_sides
        from leakfront.results.statistics.counts import excess_interval, extracted_at_fdr

        drawn = _images(samples, "samples")
        pool = np.concatenate([self._sides["members"], self._sides["decoys"]])
        if drawn.shape[1:] != pool.shape[1:]:
            raise InputError(f"samples are {list(drawn.shape)}, and members and decoys have {list(pool.shape[1:])}")
        members = np.arange(len(pool)) < len(self._sides["members"])
        scores = self._extraction(pool, drawn)
        before = extracted_at_fdr(scores.score, members, coin=float(members.mean())).before_decoys
        rule = scores.matched["adaptive"]
        matched, n, decoys_matched, n_decoys = (
            int(count) for side in (members, ~members) for count in ((rule & side).sum(), side.sum())
        )
        ends = excess_interval(matched, n, decoys_matched, n_decoys)
        excess = Estimate(*ends, "two Clopper-Pearson intervals at 97.5%")
        found = distances_of(drawn, *(pool[side] for side in equal_sides(members, self.seed)))
        named = {name: found[name] for name in ("dcr_share", "authenticity_gap", "identifiability_gap")}
        leak = Leak(len(drawn), before, float(members.mean() ** before), excess, **named)
        self.history.append(leak)
        return leak

    def _extraction(self, pool: np.ndarray, samples: np.ndarray) -> Any:
        """What the attack `extraction` says of the pool; it does not see which images are members."""
        from leakfront.attacks import Outside, PoolView, Target
        from leakfront.attacks.extraction import Extraction

        none, itself = np.zeros(len(pool), np.int64), np.arange(len(pool))
        view = PoolView(pool, none, _no_features(pool), pool, itself, none, none + 1)
        labels, outside = np.zeros(len(samples), np.int64), Outside(pool[:0], {})
        target = Target(view, samples, labels, {}, {}, outside, self.seed, extract=_no_features)
        return Extraction(neighbours=min(self.neighbours, len(pool) - 1)).score(target, [])


def _no_features(images: np.ndarray) -> np.ndarray:
    return np.empty((len(images), 0))


def _images(images: Any, name: str) -> np.ndarray:
    from leakfront.datasets.folder import ImageFolder
    from leakfront.harness.given import as_uint8

    if isinstance(images, str) or hasattr(images, "is_dir"):
        return ImageFolder(str(images)).load().images
    return as_uint8(images, name)
