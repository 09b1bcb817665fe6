"""The data of a privacy-utility front: FID and one measure of leakage for every defense at every strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.figures.drawing.looks import Look, looks_of
from leakfront.results.run.claims import AS_SERVED, claim, covers
from leakfront.results.run.point import Point
from leakfront.results.run.rows import HELD_OUT, NOISE, WITH_WEIGHTS
from leakfront.results.run.summary import Summary
from leakfront.results.run.value import Value

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

_MOST = 8  # lines that one panel can hold
_POINTS = (
    "A marker is the mean over splits at one strength of a defense, bars are 95% intervals, small dots are the splits. "
    "Rings and the grey line mark the front: the points that no other point beats on both axes. Dotted lines are the "
    "FID of held-out real images and of noise, the two ends of the scale."
)
_PANELS = "Each panel shows one defense in colour, its strengths as labels, and all other points in grey."
_PROMISES = (
    "Below the name: what the defense promises, an (ε, δ) guarantee or none, and which attackers it covers: those with "
    "any access, or those who see only what is served."
)
_PRIVATE = "DP: every strength has an (ε, δ) guarantee from the accountant."
_SERVED = "Served: the defense guards the sampler; whoever holds the weights bypasses it."
_PAST = (
    "A cross, on a dotted line from its marker, shows the leakage of the weights behind a defense that only guards the "
    "sampler."
)


@dataclass(frozen=True)
class Mark:
    """A defense at a strength.

    past: the leakage of the weights behind a guarded sampler, None where it was not measured. splits: FID and leakage
    of each split, [S, 2].
    """

    point: Point
    fid: Value
    leak: Value
    past: float | None
    splits: np.ndarray
    on_front: bool

    @property
    def at(self) -> tuple[float, float]:
        return self.fid.value, self.leak.value


@dataclass(frozen=True)
class Promise:
    """What a line promises and whom it covers: `stated` of its `points` have a guarantee."""

    stated: int
    points: int
    covers: str

    @property
    def private(self) -> bool:
        """Every point has an (ε, δ) guarantee."""
        return self.stated == self.points

    @property
    def served(self) -> bool:
        """It protects against nobody who has the weights."""
        return self.covers == AS_SERVED

    def __str__(self) -> str:
        partly = "(ε, δ)-DP in part" if self.stated else "no guarantee"
        return " · ".join(filter(None, ("(ε, δ)-DP" if self.private else partly, self.covers.strip("–"))))


@dataclass(frozen=True)
class Chart:
    """Everything that is drawn.

    promises: by line. baselines: for each line the undefended line of its run. ends: the FID of held-out images and of
    noise. guess: the leakage that guessing gives, None where the measure is a count.
    """

    marks: tuple[Mark, ...]
    looks: dict[str, Look]
    promises: dict[str, Promise]
    baselines: dict[str, str]
    ends: dict[str, float]
    xlabel: str
    ylabel: str
    guess: float | None

    @property
    def lines(self) -> list[str]:
        return list(self.promises)

    @property
    def defended(self) -> list[str]:
        """The lines that are not the undefended model's."""
        return [line for line in self.lines if line not in self.baselines.values()]

    @property
    def crowded(self) -> bool:
        """Whether there are more lines than one panel can hold."""
        return len(self.lines) > _MOST and bool(self.defended)

    @property
    def reading(self) -> str:
        """How to read it, for the caption."""
        promises = self.promises.values()
        parts = {
            _PANELS: self.crowded,
            "The undefended model is black.": self.crowded and bool(self.baselines),
            _PROMISES: self.crowded,
            _POINTS: True,
            _PRIVATE: not self.crowded and any(promise.private for promise in promises),
            _SERVED: not self.crowded and any(promise.served for promise in promises),
            _PAST: any(mark.past is not None for mark in self.marks),
        }
        return " ".join(part for part, needed in parts.items() if needed)

    def of(self, line: str | None) -> list[Mark]:
        """The points of a line, in the order of the rows."""
        return [mark for mark in self.marks if mark.point.defense == line]


def gather(
    run: RunData, source: str, metric: str, ylabel: str, guess: float | None = None, level: float | None = None
) -> Chart | None:
    """The chart of one metric (at a level) against FID; None if no point has both."""
    from leakfront.results.statistics.front import pareto_front

    summary = run.summary
    both = [(point, summary.fid(point), summary.value(point, source, metric, level=level)) for point in summary.points]
    known = [(p, f, y) for p, f, y in both if f is not None and y is not None and f.known and y.known]
    if not known:
        return None
    leaks = np.array([max(y.value, guess if guess is not None else y.value) for _, _, y in known])
    on = pareto_front(np.array([f.value for _, f, _ in known]), leaks)  # below guessing is no better than guessing
    past = {p: summary.value(p, source, metric + WITH_WEIGHTS, level=level) for p, _, _ in known}
    marks = [
        Mark(p, f, y, v.value if (v := past[p]) is not None and v.known else None,
             _splits(summary, p, source, metric, level), bool(ahead))
        for (p, f, y), ahead in zip(known, on, strict=True)
    ]  # fmt: skip
    lines: dict[str, list[Point]] = {}
    for mark in marks:
        lines.setdefault(mark.point.defense, []).append(mark.point)
    bases = {line: base for line, points in lines.items() if (base := summary.baseline_of(points[0])) is not None}
    ends = {end: summary.scale_end(end) for end in (HELD_OUT, NOISE)}
    return Chart(
        marks=tuple(marks),
        looks=looks_of(summary),
        promises={line: _promise(run, points) for line, points in lines.items()},
        baselines={line: base.defense for line, base in bases.items()},
        ends={end.strip("()"): value.value for end, value in ends.items() if value is not None and value.known},
        xlabel=f"FID ({summary.features} features)" if summary.features else "FID",
        ylabel=ylabel,
        guess=guess,
    )


def _splits(summary: Summary, point: Point, source: str, metric: str, level: float | None) -> np.ndarray:
    """FID and leakage of each split that has both, [S, 2]."""
    fids = summary.per_split(point, "fid", summary.fid_metric)
    leaks = summary.per_split(point, source, metric, level)
    both = [s for s in fids if s in leaks and fids[s].known and leaks[s].known]
    return np.array([[fids[s].value, leaks[s].value] for s in both]).reshape(-1, 2)


def _promise(run: RunData, points: Sequence[Point]) -> Promise:
    """The promise of a line, from run.json."""
    return Promise(sum(claim(run, point) is not None for point in points), len(points), covers(run, points))
