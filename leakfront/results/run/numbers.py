"""Every number of a run, found by where it was measured: a defense at a strength, a source, a metric and a split."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from leakfront.results.run.point import Point
from leakfront.results.run.rows import ALL, HELD_OUT, NO_MODEL, NOISE
from leakfront.results.run.value import Value

if TYPE_CHECKING:
    import pandas as pd

_TIMES = ("training_seconds", "sampling_seconds", "probe_seconds", "scoring_seconds")
_READ = ("run", "defense", "params", "split", "source", "metric", "level", "value", "ci_low", "ci_high", "n",
         "ci_method")  # fmt: skip


class Numbers:
    """The rows of a run by point, source, metric, level and split; points in the order of the rows."""

    def __init__(self, rows: pd.DataFrame) -> None:
        """rows: with the columns of `rows.Row`."""
        self._values: dict[tuple[Point, str, str, float | None], dict[str, Value]] = {}  # by split
        self._levels: dict[tuple[Point, str, str], set[float]] = {}
        self._splits: dict[Point, dict[str, None]] = {}
        self._run_of: dict[str, str] = {}
        order: dict[Point, None] = {}
        for run, defense, params, split, source, metric, number, value, low, high, n, method in zip(
            *(rows[column].tolist() for column in _READ), strict=True
        ):
            point, level = Point(defense, params), None if math.isnan(number) else float(number)
            by_split = self._values.setdefault((point, source, metric, level), {})
            by_split[split] = Value(value, low, high, int(n), method)
            if level is not None:
                self._levels.setdefault((point, source, metric), set()).add(level)
            if defense not in (HELD_OUT, NOISE):
                order[point] = None
                self._run_of.setdefault(defense, run)
            if split != ALL and metric not in NO_MODEL:
                self._splits.setdefault(point, {})[split] = None
        self.points: list[Point] = _by_defense(order)

    @property
    def seconds(self) -> str:
        """The unit of times: "CPU s" if they are CPU time, else "s"."""
        times = (by_split for (_, _, metric, _), by_split in self._values.items() if metric in _TIMES)
        kinds = {value.method for by_split in times for split, value in by_split.items() if split != ALL}
        return "CPU s" if kinds == {"CPU time"} else "s"

    @property
    def defenses(self) -> list[str]:
        """The lines of the plots."""
        return list(dict.fromkeys(point.defense for point in self.points))

    @property
    def undefended(self) -> Point:
        """The undefended model (of the first run), else the first point."""
        return (self.baselines or self.points)[0]

    @property
    def subject(self) -> str:
        """The name of the model of `undefended` in a heading; an external model may have been defended."""
        if self.baselines or not self.points:
            return "the undefended model"
        return "the model" if len(self.points) == 1 else self.undefended.label

    @property
    def baselines(self) -> list[Point]:
        """The undefended models: one, or one for each of several runs drawn together."""
        return [point for point in self.points if self._is_baseline(point)]

    def baseline_of(self, point: Point) -> Point | None:
        """The undefended model of the point's run."""
        run = self._run_of.get(point.defense)
        return next((b for b in self.baselines if self._run_of.get(b.defense) == run), None)

    def value(
        self, point: Point, source: str, metric: str, split: str = ALL, level: float | None = None
    ) -> Value | None:
        """The row's value; for a point with a single split, that split's row stands in for a missing row over all.

        level: of the metric, for one that has levels.
        """
        found = self._values.get((point, source, metric, level), {})
        if split == ALL and ALL not in found:
            return next(iter(found.values())) if len(found) == 1 else None
        return found.get(split)

    def levels(self, point: Point, source: str, metric: str) -> list[float]:
        """The levels at which a metric was measured, lowest first."""
        return sorted(self._levels.get((point, source, metric), ()))

    def per_split(self, point: Point, source: str, metric: str, level: float | None = None) -> dict[str, Value]:
        """The values of each split, in the order of the splits."""
        found = self._values.get((point, source, metric, level), {})
        return {split: found[split] for split in sorted(found, key=_by_number) if split != ALL}

    def reason(self, point: Point, source: str, metric: str, level: float | None = None) -> str:
        """Why there is no number, from the row of the first split that has none; empty if there is one."""
        unknown = [value for value in self.per_split(point, source, metric, level).values() if not value.known]
        value = unknown[0] if unknown else self.value(point, source, metric, level=level)
        return value.method if value is not None and not value.known else ""

    def diverged(self, point: Point) -> dict[str, int]:
        """The splits whose training diverged, with the step at which it did."""
        return {split: int(v.value) for split, v in self.per_split(point, "train", "diverged").items()}

    def failed(self, point: Point) -> list[str]:
        """The splits that could not be finished."""
        return list(self.per_split(point, "run", "failed"))

    def splits(self, point: Point) -> list[str]:
        """The splits that were measured."""
        return sorted(self._splits.get(point, ()), key=_by_number)

    def _is_baseline(self, point: Point) -> bool:
        return point.defense in ("none", f"{self._run_of.get(point.defense)}: none")


def _by_number(split: str) -> tuple[int, str]:
    return len(split), split


def _by_defense(points: Iterable[Point]) -> list[Point]:
    """The points of one defense together, otherwise in the order given."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(point.defense, []).append(point)
    return [point for group in groups.values() for point in group]
