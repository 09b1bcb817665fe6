"""The tables of attacks: the suite on the undefended model, and every attack on every defense."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from leakfront.results.run.conditions import conditions
from leakfront.results.run.controls import in_short
from leakfront.results.run.rows import AUC_OF_HALVES, AUC_OF_PLANTED
from leakfront.results.run.saturation import SATURATED, WHY, saturated
from leakfront.results.tables.table import NOTHING, Column, Table, number

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData
    from leakfront.results.run.point import Point
    from leakfront.results.run.summary import Summary
    from leakfront.results.run.value import Value


class _Measure(NamedTuple):
    """A column: its key and title, the metric and level of its rows, the decimals of its numbers."""

    key: str
    title: str
    metric: str
    level: float | None = None
    decimals: int = 3


_AUC = _Measure("auc", "AUC", "auc")
_HALVES = _Measure(AUC_OF_HALVES, "AUC of halves", AUC_OF_HALVES)
_PLANTED = _Measure(AUC_OF_PLANTED, "AUC of planted", AUC_OF_PLANTED)
_TPR_10 = _Measure("tpr_at_fpr_0.1", "TPR at 10% FPR", "tpr_at_fpr", 0.1)
_TPR_1 = _Measure("tpr_at_fpr_0.01", "TPR at 1% FPR", "tpr_at_fpr", 0.01)
_TPR_01 = _Measure("tpr_at_fpr_0.001", "TPR at 0.1% FPR", "tpr_at_fpr", 0.001)
_AUDIT = (
    _Measure("epsilon_lower_bound", "Audited ε ≥", "epsilon_lower_bound", decimals=2),
    _Measure("epsilon_lower_bound_ceiling", "Ceiling of the audit", "epsilon_lower_bound_ceiling", decimals=2),
)
_MANY_RUN = _Measure("many_run_epsilon_lower_bound", "Many-run audited ε ≥", "many_run_epsilon_lower_bound", decimals=2)
_F_DP = _Measure("epsilon_lower_bound_f_dp", "Audited ε ≥ if μ-GDP", "epsilon_lower_bound_f_dp", decimals=2)
_BOUNDS = (_AUDIT[0], _F_DP, _MANY_RUN)
_IF_GDP = (
    "If μ-GDP: a lower bound on ε of training that is μ-GDP for some μ (its trade-off curve is that of a Gaussian "
    "mechanism), not of any other."
)

_OF_PLANTED = (
    "AUC of planted: among the pairs planted several times, members against decoys. An attack that looks at captions "
    "alone tells only those that were seen often, so that its AUC of all pairs, most of them there once, is near 0.5."
)
_OF_HALVES = (
    "AUC of halves: of the same scores between random halves of the decoys, where there is nothing to find; the mean "
    "of 200 halvings, and the range of 95% of them. An AUC within that range may be chance."
)


def attack_table(run: RunData) -> Table:
    """Every number of membership inference: one row for each defense, strength and attack."""
    summary = run.summary
    pairs = [(p, a) for p in summary.points for a in summary.attacks if summary.value(p, a, "auc") is not None]

    def measured(*candidates: _Measure) -> list[_Measure]:
        return [m for m in candidates if any(summary.value(p, a, m.metric) is not None for p, a in pairs)]

    halves, planted, more = measured(_HALVES), measured(_PLANTED), measured(_F_DP, _MANY_RUN)
    measures = (_AUC, *halves, *planted, _TPR_10, _TPR_1, _TPR_01, *_AUDIT, *more)
    full = {m: tuple(SATURATED if saturated(summary, p, a, m.metric) else "" for p, a in pairs) for m in _BOUNDS}
    reasons = [next(iter(_reasons(summary, p, a, measures)), "") for p, a in pairs]
    return Table((
        Column("defense", "Defense", tuple(p.defense for p, _ in pairs)),
        Column("params", "Strength", tuple(p.params for p, _ in pairs)),
        Column("attack", "Attack", tuple(a for _, a in pairs)),
        *(replace(_column(summary, pairs, m), words=full.get(m, ())) for m in measures),
        Column("note", "", tuple(reasons)),
    ), (*([f"{SATURATED.capitalize()}: {WHY}."] if any(map(any, full.values())) else []),
        *([_IF_GDP] if _F_DP in more else []), *([_OF_HALVES] if halves else []),
        *([_OF_PLANTED] if planted else []), *in_short(run),
        *(f"{NOTHING}: {reason}." for reason in dict.fromkeys(reasons) if reason), *run.differences))  # fmt: skip


def suite_table(run: RunData) -> Table:
    """The attacks on the undefended model (without one: on the first): their access, success and cost."""
    summary = run.summary
    point, attacks = summary.undefended, [attack for group in summary.families().values() for attack in group]
    pairs = [(point, attack) for attack in attacks]
    halves, planted = (
        [m] if any(summary.value(p, a, m.metric) is not None for p, a in pairs) else [] for m in (_HALVES, _PLANTED)
    )
    measures = (_AUC, *halves, *planted, _TPR_1, _TPR_01)
    unattainable = [reason for _, attack in pairs for reason in _reasons(summary, point, attack, measures)]
    calls, seconds = (
        tuple(_without_interval(summary.value(point, attack, metric)) for attack in attacks)
        for metric in ("model_calls_per_image", "scoring_seconds")
    )
    return Table((
        Column("attack", "Attack", tuple(attacks)),
        *(Column(key, key.capitalize(), tuple(str(summary.facts.get(a, {}).get(key, "")) for a in attacks))
          for key in ("access", "shadows")),
        *(_column(summary, pairs, measure) for measure in measures),
        Column("model_calls_per_image", "Model calls per image", calls),
        Column("scoring_seconds", f"Scoring ({summary.seconds})", seconds),
        Column("note", "Note", tuple(_note(run, summary, point, attack) for attack in attacks)),
    ), (
        f"{point.label}: means over splits with 95% intervals. Model calls are per pool image, as if the attack were "
        "made alone.",
        *_together(summary, point),
        *([_OF_HALVES] if halves else []),
        *([_OF_PLANTED] if planted else []),
        conditions(run),
        *(f"{NOTHING}: {reason}." for reason in dict.fromkeys(unattainable)),
    ))  # fmt: skip


def _column(summary: Summary, pairs: Sequence[tuple[Point, str]], measure: _Measure) -> Column:
    entries = tuple(summary.value(p, attack, measure.metric, level=measure.level) for p, attack in pairs)
    return Column(measure.key, measure.title, entries, measure.decimals)


def _reasons(summary: Summary, point: Point, attack: str, measures: Sequence[_Measure]) -> list[str]:
    """Why numbers are missing, where they are."""
    return [reason for m in measures if (reason := summary.reason(point, attack, m.metric, m.level))]


def _note(run: RunData, summary: Summary, point: Point, attack: str) -> str:
    """Why an attack was left out on this model, or how it departs from its source."""
    left_out = summary.per_split(point, attack, "left_out")
    if left_out:
        reason = next(iter(left_out.values())).method
        splits = len(summary.splits(point))
        return reason if len(left_out) >= splits else f"{reason} ({len(left_out)} of {splits} splits)"
    if run.differences and summary.value(point, attack, "auc") is None:
        return "not in the suite of this model's run"
    return str(summary.facts.get(attack, {}).get("note", ""))


def _together(summary: Summary, point: Point) -> list[str]:
    """One line on the cost of the whole suite: model calls together and one attack at a time, and time of probing."""
    names = ("model_calls_per_image", "model_calls_per_image_apart")
    together, apart = (summary.value(point, "suite", metric) for metric in names)
    seconds = summary.value(point, "probe", "probe_seconds")
    sentences = []
    if together is not None and apart is not None and together.known and apart.known:
        sentences.append(
            f"The suite makes {number(together.value)} model calls per pool image, including those for samples; its "
            f"attacks, made one at a time, would make {number(apart.value)}."
        )
    if seconds is not None and seconds.known:
        sentences.append(f"Probing one model took {number(seconds.value)} {summary.seconds}.")
    return [" ".join(sentences)] if sentences else []


def _without_interval(value: Value | None) -> Value | None:
    """A cost without its interval, which means nothing for a fixed count or a time on one machine."""
    return None if value is None else replace(value, low=math.nan, high=math.nan)
