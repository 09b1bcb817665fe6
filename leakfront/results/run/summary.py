"""The points of every table and figure: a defense at a strength, and what the rows say of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leakfront.results.run.families import CONTROL, FAMILIES, family

if TYPE_CHECKING:
    from leakfront.results.run.data import Cell, RunData

EXTRACTION = "extraction"  # the attack whose count is the privacy axis
HELD_OUT, NOISE = "(held-out images)", "(noise)"
ALL = "all"
WITH_WEIGHTS = "_with_weights"  # ends a metric of what was drawn past the defenses that guard the sampler
NO_MODEL = ("diverged", "failed")  # metrics of a cell that has no other rows


def is_given(run: RunData) -> bool:
    """Whether who is a member was given in a run, not flipped."""
    return bool(run.info.get("dataset", {}).get("membership") == "given")


@dataclass(frozen=True)
class Point:
    """A defense at a strength: one row of the table, one point of a line on a plot."""

    defense: str
    params: str

    @property
    def label(self) -> str:
        """As in `leakfront.results.run.data.Cell.label`: "dp_sgd (epsilon=10)"."""
        return f"{self.defense} ({self.params})" if self.params else self.defense


@dataclass(frozen=True)
class Value:
    """A number from a row, with its 95% interval (nan where there is none) and how that was made."""

    value: float
    low: float
    high: float
    n: int
    method: str

    @property
    def known(self) -> bool:
        """False for a row that says why there is no number."""
        return math.isfinite(self.value)

    @property
    def has_interval(self) -> bool:
        return math.isfinite(self.low) and math.isfinite(self.high)

    def above(self, other: float | Value) -> bool:
        """The interval lies above the number, or above the other's interval."""
        return self.low > (other.high if isinstance(other, Value) else other)

    def below(self, other: float | Value) -> bool:
        """The interval lies below the number, or below the other's interval."""
        return self.high < (other.low if isinstance(other, Value) else other)


class Summary:
    """The rows of a run by point, split, source and metric; points in the order of the rows.

    attacks: those with an AUC somewhere; suite: these and those that were left out everywhere; both in the order of the
    run. facts: what run.json says of each attack.
    """

    def __init__(self, run: RunData) -> None:
        rows = run.rows
        columns = (
            "run",
            "defense",
            "params",
            "split",
            "source",
            "metric",
            "value",
            "ci_low",
            "ci_high",
            "n",
            "ci_method",
        )
        self._values: dict[tuple[Point, str, str], dict[str, Value]] = {}  # by split
        self._splits: dict[Point, dict[str, None]] = {}
        self._run_of: dict[str, str] = {}
        order: dict[Point, None] = {}
        attacks: dict[str, None] = {}
        metrics: dict[str, None] = {}
        rate = "0.05"
        for name, defense, params, split, source, metric, value, low, high, n, method in zip(
            *(rows[column].tolist() for column in columns), strict=True
        ):
            point = Point(defense, params)
            self._values.setdefault((point, source, metric), {})[split] = Value(value, low, high, int(n), method)
            if not defense.startswith("("):
                order[point] = None
                self._run_of.setdefault(defense, name)
            if split != ALL and metric not in NO_MODEL:
                self._splits.setdefault(point, {})[split] = None
            if metric == "auc":
                attacks[source] = None
            if source in ("fid", "kid"):
                metrics[metric] = None
            if source == EXTRACTION and metric.startswith("extracted_at_fdr_") and not metric.endswith(WITH_WEIGHTS):
                rate = metric.removeprefix("extracted_at_fdr_")
        self.rate = rate
        self.points: list[Point] = _by_defense(order)
        self.suite = list(dict.fromkeys((*run.info.get("attacks", ()), *attacks)))
        self.attacks = [attack for attack in self.suite if attack in attacks]
        self.facts: dict[str, dict[str, Any]] = run.info.get("attack_facts", {})
        self.fid_metric = next((m for m in metrics if m.startswith("fid_")), "fid")
        self.kid_metric = next((m for m in metrics if m.startswith("kid_")), "kid")

    @property
    def fdr(self) -> str:
        """The false-discovery rate of the extracted count: "5%"."""
        return f"{100 * float(self.rate):g}%"

    @property
    def seconds(self) -> str:
        """The unit of times: "CPU s" where they are CPU time, else "s"."""
        times = (by_split for (_, _, metric), by_split in self._values.items() if metric.endswith("_seconds"))
        kinds = {value.method for by_split in times for split, value in by_split.items() if split != ALL}
        return "CPU s" if kinds == {"CPU time"} else "s"

    @property
    def features(self) -> str:
        """The feature extractor behind FID and KID, as the metric's name states it."""
        return self.fid_metric.removeprefix("fid").removeprefix("_")

    @property
    def defenses(self) -> list[str]:
        """The lines of the plots."""
        return list(dict.fromkeys(point.defense for point in self.points))

    @property
    def controls(self) -> list[str]:
        """Attacks that never ask the model: what they find is a fault or chance, and never counts as an attack's."""
        return self.families().get(CONTROL, [])

    def families(self) -> dict[str, list[str]]:
        """The attacks of the suite by family, in the order of `FAMILIES`; no empty ones."""
        of = {attack: family(self.facts.get(attack, {})) for attack in self.suite}
        groups = {name: [attack for attack in self.suite if of[attack] == name] for name in FAMILIES}
        return {name: group for name, group in groups.items() if group}

    def attacks_on(self, cell: Cell) -> list[str]:
        """The attacks that judged a model; those that lacked shadow models for it are left out."""
        point = Point(cell.defense, cell.params)
        return [attack for attack in self.attacks if self.value(point, attack, "auc", cell.split) is not None]

    @property
    def undefended(self) -> Point:
        """The undefended model (of the first run), else the first point."""
        return (self.baselines or self.points)[0]

    @property
    def subject(self) -> str:
        """What a heading calls the model of `undefended`; a given one is not known to be."""
        if self.baselines or not self.points:
            return "the undefended model"
        return "the model" if len(self.points) == 1 else self.undefended.label

    @property
    def baselines(self) -> list[Point]:
        """The undefended models: one, or one for each of several runs drawn together."""
        return [point for point in self.points if self._is_baseline(point)]

    def baseline_of(self, point: Point) -> Point | None:
        """The undefended model of the run that a point is from."""
        run = self._run_of.get(point.defense)
        return next((b for b in self.baselines if self._run_of.get(b.defense) == run), None)

    def value(self, point: Point, source: str, metric: str, split: str = ALL) -> Value | None:
        """The row's value; for a point with a single split, that split's row stands in for a missing "all"."""
        found = self._values.get((point, source, metric), {})
        if split == ALL and ALL not in found:
            return next(iter(found.values())) if len(found) == 1 else None
        return found.get(split)

    def metrics(self, point: Point, source: str) -> list[str]:
        """The metrics that a source has rows of."""
        return [metric for p, s, metric in self._values if (p, s) == (point, source)]

    def per_split(self, point: Point, source: str, metric: str) -> dict[str, Value]:
        """The values of each split, in the order of the splits."""
        found = self._values.get((point, source, metric), {})
        return {split: found[split] for split in sorted(found, key=_by_number) if split != ALL}

    def reason(self, point: Point, source: str, metric: str) -> str:
        """Why there is no number, as the row of the first split says it."""
        unknown = [value for value in self.per_split(point, source, metric).values() if not value.known]
        value = unknown[0] if unknown else self.value(point, source, metric)
        return value.method if value is not None and not value.known else ""

    def fid(self, point: Point) -> Value | None:
        return self.value(point, "fid", self.fid_metric)

    def kid(self, point: Point) -> Value | None:
        return self.value(point, "kid", self.kid_metric)

    def extracted(self, point: Point, split: str = ALL) -> Value | None:
        """Unique images extracted at the false-discovery rate."""
        return self.value(point, EXTRACTION, f"extracted_at_fdr_{self.rate}", split)

    def extracted_with_weights(self, point: Point) -> Value | None:
        """The same, drawn by whoever holds the weights; None where nothing guards the sampler."""
        return self.value(point, EXTRACTION, f"extracted_at_fdr_{self.rate}{WITH_WEIGHTS}")

    def planted(self, point: Point) -> Value | None:
        """Of them, how many had been planted more than once; None where no member was."""
        found = self.value(point, EXTRACTION, f"planted_extracted_at_fdr_{self.rate}")
        return found if found is not None and found.n else None

    def threshold(self, point: Point, split: str) -> float:
        """The lowest score that counts as extracted; inf where none does."""
        found = self.value(point, EXTRACTION, f"threshold_at_fdr_{self.rate}", split)
        return found.value if found is not None and found.known else math.inf

    def leakiest(self, defense: str) -> Point:
        """The strength of a defense that lets out the most images, by the controlled count, then by the fixed rule."""

        def leak(point: Point) -> tuple[float, float]:
            counts = (self.extracted(point), self.value(point, EXTRACTION, "members_adaptive"))
            return tuple(c.value if c is not None and c.known else -1.0 for c in counts)  # type: ignore[return-value]

        return max((point for point in self.points if point.defense == defense), key=leak)

    def scale_end(self, end: str) -> Value | None:
        """The FID of `HELD_OUT` or of `NOISE`."""
        return self.value(Point(end, ""), "fid", self.fid_metric)

    def strongest(self, point: Point, metric: str) -> tuple[str, Value] | None:
        """The attack with the highest value of a metric, and that value; the first of equals, and never a control."""
        controls = self.controls
        found = [(attack, self.value(point, attack, metric)) for attack in self.attacks if attack not in controls]
        known = [(attack, value) for attack, value in found if value is not None and value.known]
        return max(known, key=lambda pair: pair[1].value) if known else None

    def diverged(self, point: Point) -> dict[str, int]:
        """The splits whose training diverged, with the step."""
        return {split: int(v.value) for split, v in self.per_split(point, "train", "diverged").items()}

    def failed(self, point: Point) -> list[str]:
        """The splits that could not be finished."""
        return list(self.per_split(point, "run", "failed"))

    def splits(self, point: Point) -> list[str]:
        """The splits that were measured."""
        return sorted(self._splits.get(point, ()), key=_by_number)

    def _is_baseline(self, point: Point) -> bool:
        return point.defense in ("none", f"{self._run_of.get(point.defense)}: none")


def undefended_cell(run: RunData, summary: Summary) -> Cell | None:
    """The undefended model of the first split that finished, else the first model; None if there is none."""
    point = summary.undefended if summary.points else None
    cells = [
        cell for cell in run.cells if point is not None and (cell.defense, cell.params) == (point.defense, point.params)
    ]
    return next(iter(cells or run.cells), None)


def _by_number(split: str) -> tuple[int, str]:
    return len(split), split


def _by_defense(points: Iterable[Point]) -> list[Point]:
    """The points of one defense together, otherwise in the order given."""
    groups: dict[str, list[Point]] = {}
    for point in points:
        groups.setdefault(point.defense, []).append(point)
    return [point for group in groups.values() for point in group]
