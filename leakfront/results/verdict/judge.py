"""Judge a run by a gate: every rule passes, fails, or stays undecided, and so does the whole."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from leakfront.errors import InputError
from leakfront.results.run.plausibility import doubts
from leakfront.results.run.rows import WITH_WEIGHTS
from leakfront.results.run.value import Value
from leakfront.results.verdict.gate import Gate, Rule, default_gate
from leakfront.results.verdict.sizes import would_decide

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData
    from leakfront.results.run.point import Point

Outcome = Literal["pass", "undecided", "fail", "warning", "not measured"]
_WORST: Sequence[Outcome] = ("fail", "undecided", "warning", "not measured", "pass")
_BY_SAMPLES = ("samples", "none")


@dataclass(frozen=True)
class Judged:
    """A rule and what became of it, by the row that decides it.

    source, split: of that row, empty if there is none. value: its number with its interval, as a share if the rule asks
    for one. needed: the number of members, with decoys in proportion, that would decide the rule if all else stays;
    None if it is decided, or if none would. fails_above: the limit beyond which it fails, larger than that of the
    rule where one of several numbers may be above it by chance. reason: why there is no number. members: what is
    counted, "members" for images.
    """

    rule: Rule
    outcome: Outcome
    source: str = ""
    split: str = ""
    value: Value = Value(math.nan, math.nan, math.nan, 0, "")  # noqa: RUF009 - frozen
    needed: int | None = None
    fails_above: float = math.nan
    reason: str = ""
    members: str = "members"


@dataclass(frozen=True)
class ModelVerdict:
    """The verdict on one model: a defense at a strength, or an external model. spoiled: why it cannot pass, if so."""

    label: str
    judged: tuple[Judged, ...]
    spoiled: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """Of the rules that do not only warn: "fail" if any failed, else "undecided" if any is or if it is spoiled."""
        found = {one.outcome for one in self.judged if not one.rule.warns}
        if "fail" in found:
            return "fail"
        return "undecided" if "undecided" in found or self.spoiled else "pass"


@dataclass(frozen=True)
class Verdict:
    """The verdicts on the models of a run by a gate."""

    gate: Gate
    models: tuple[ModelVerdict, ...]

    @property
    def outcome(self) -> Outcome:
        """The worst of the models' outcomes; "undecided" without any model."""
        return worst(model.outcome for model in self.models) if self.models else "undecided"

    @property
    def fails(self) -> bool:
        """Whether the exit code is that of a failed gate."""
        return self.outcome == "fail" or (self.outcome == "undecided" and self.gate.undecided == "fail")


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of outcomes."""
    return min(outcomes, key=_WORST.index)


def judge(run: RunData, gate: Gate | None = None) -> Verdict:
    """The verdict on a run. gate: the rules; None for the default ones.

    Raises `InputError` if the gate names a model that the run does not have.
    """
    gate = gate or default_gate()
    labels = {point.label: point for point in run.summary.points}
    if unknown := [label for label in gate.models if label not in labels]:
        raise InputError(f"the gate names the model {unknown[0]!r}; the run has {', '.join(map(repr, labels))}")
    points = [labels[label] for label in gate.models] or list(labels.values())
    return Verdict(gate, tuple(_of_model(run, gate, point) for point in points))


def _of_model(run: RunData, gate: Gate, point: Point) -> ModelVerdict:
    summary = run.summary
    spoiled = [text for _, text in doubts(run)]
    if lost := [*summary.diverged(point), *summary.failed(point)]:
        spoiled.append(f"there are no numbers of split {', '.join(lost)}, whose training diverged or failed.")
    unit = str(run.info.get("dataset", {}).get("unit", "image"))
    members = "members" if unit == "image" else f"member {unit}s"
    judged = (_judged(rule, list(_values(run, gate, point, rule))) for rule in gate.rules)
    return ModelVerdict(point.label, tuple(replace(one, members=members) for one in judged), tuple(spoiled))


def _values(run: RunData, gate: Gate, point: Point, rule: Rule) -> Iterable[tuple[str, str, Value]]:
    """Source, split and value of each number that a rule is about, of each model by itself."""
    summary = run.summary
    metrics = (rule.metric, f"{rule.metric}{WITH_WEIGHTS}") if gate.attacker == "weights" else (rule.metric,)
    of_split = run.rows[(run.rows["defense"] == point.defense) & (run.rows["params"] == point.params)]
    sources = [rule.source] if rule.source else list(dict.fromkeys(of_split["source"]))
    for source in sources:
        if source in summary.controls and not rule.source:
            continue
        if gate.attacker == "samples" and _access(run, source) not in _BY_SAMPLES:
            continue
        for metric in metrics:
            for split, value in summary.per_split(point, source, metric, rule.level).items():
                yield source, split, value


def _access(run: RunData, source: str) -> str:
    """What an attack needs of the model; "none" for a source that is no attack."""
    return str(run.summary.facts.get(source, {}).get("access", "none"))


def _judged(rule: Rule, values: Sequence[tuple[str, str, Value]]) -> Judged:
    """The rule by the worst of its numbers: of those with the worst outcome, the one with the highest upper end."""
    known = [found for found in values if found[2].known]
    if not known:
        reason = values[0][2].method if values else "it was not measured"
        return Judged(rule, "not measured" if rule.warns else "undecided", reason=reason)
    missing = [found for found in values if not found[2].known]
    fails_above = rule.at_most + (math.ceil(math.log2(len(known))) if rule.halved else 0)
    outcomes = [outcome(value, rule, fails_above) for _, _, value in known]
    found = worst(outcomes)
    source, split, value = max(
        (one for one, its in zip(known, outcomes, strict=True) if its == found), key=lambda one: _ends(one[2], rule)[1]
    )
    undecided = found == "undecided" and not rule.halved
    needed = would_decide(value, rule.at_most, rule.share) if undecided else None
    if found == "pass" and missing and not rule.warns:
        return Judged(rule, "undecided", missing[0][0], missing[0][1], reason=missing[0][2].method)
    return Judged(rule, found, source, split, _scaled(value, rule), needed, fails_above)


def outcome(value: Value, rule: Rule, fails_above: float | None = None) -> Outcome:
    """A rule against one number: "pass" if the whole interval is at most the limit, "fail" (or "warning") if it lies
    above `fails_above` (without it, above the limit), else "undecided". A number without an interval is compared as it
    is."""
    low, high = _ends(value, rule)
    if high <= rule.at_most:
        return "pass"
    if low > (rule.at_most if fails_above is None else fails_above):
        return "warning" if rule.warns else "fail"
    return "undecided"


def _ends(value: Value, rule: Rule) -> tuple[float, float]:
    """The interval, of the share if the rule asks for it; the number twice where there is no interval."""
    scaled = _scaled(value, rule)
    low = scaled.value if math.isnan(scaled.low) else scaled.low
    return low, scaled.value if math.isnan(scaled.high) else scaled.high


def _scaled(value: Value, rule: Rule) -> Value:
    if not rule.share:
        return value
    n = max(value.n, 1)
    return Value(value.value / n, value.low / n, value.high / n, value.n, value.method)


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON holds it: numbers that are not finite are null."""

    def number(value: float) -> float | None:
        return value if math.isfinite(value) else None

    def of_rule(one: Judged) -> dict[str, Any]:
        value = one.value
        return {
            "rule": one.rule.name, "metric": one.rule.metric, "level": one.rule.level, "at_most": one.rule.at_most,
            "outcome": one.outcome, "source": one.source, "split": one.split, "value": number(value.value),
            "low": number(value.low), "high": number(value.high), "n": value.n, "members_that_would_decide": one.needed,
            "fails_above": number(one.fails_above), "reason": one.reason,
        }  # fmt: skip

    models = [
        {
            "model": m.label,
            "verdict": m.outcome,
            "spoiled": list(m.spoiled),
            "rules": [of_rule(one) for one in m.judged],
        }
        for m in verdict.models
    ]
    return {"verdict": verdict.outcome, "fails": verdict.fails, "models": models,
            "gate": verdict.gate.model_dump(mode="json")}  # fmt: skip
