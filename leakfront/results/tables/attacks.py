"""The tables of attacks: the suite on the undefended model, and every attack on every defense."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.run.conditions import conditions
from leakfront.results.run.summary import Point, Summary, Value
from leakfront.results.tables.table import NOTHING, Column, Table, number

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

_MEMBERSHIP = (
    ("auc", "AUC"),
    ("tpr_at_fpr_0.1", "TPR at 10% FPR"),
    ("tpr_at_fpr_0.01", "TPR at 1% FPR"),
    ("tpr_at_fpr_0.001", "TPR at 0.1% FPR"),
    ("epsilon_lower_bound", "Audited ε ≥"),
    ("epsilon_lower_bound_ceiling", "Ceiling of the audit"),
    ("many_run_epsilon_lower_bound", "Many-run audited ε ≥"),
)


def attack_table(run: RunData) -> Table:
    """Every membership number: one row for each defense, strength and attack."""
    summary = Summary(run)
    pairs = [(p, a) for p in summary.points for a in summary.attacks if summary.value(p, a, "auc") is not None]
    metrics = [
        (m, title)
        for m, title in _MEMBERSHIP
        if not m.startswith("many_run") or any(summary.value(p, a, m) is not None for p, a in pairs)
    ]
    reasons = [next((r for m, _ in metrics if (r := summary.reason(p, a, m))), "") for p, a in pairs]
    return Table((
        Column("defense", "Defense", tuple(p.defense for p, _ in pairs)),
        Column("params", "Strength", tuple(p.params for p, _ in pairs)),
        Column("attack", "Attack", tuple(a for _, a in pairs)),
        *(Column(m, title, tuple(summary.value(p, a, m) for p, a in pairs), 2 if "epsilon" in m else 3)
          for m, title in metrics),
        Column("note", "", tuple(reasons)),
    ), (*(f"{NOTHING}: {reason}." for reason in dict.fromkeys(reasons) if reason), *run.differences))  # fmt: skip


def suite_table(run: RunData) -> Table:
    """The attacks compared on the undefended model (without one: on the first): what they need, find and cost."""
    summary = Summary(run)
    point, attacks = summary.undefended, [attack for group in summary.families().values() for attack in group]
    metrics = [(m, title) for m, title in _MEMBERSHIP if m in ("auc", "tpr_at_fpr_0.01", "tpr_at_fpr_0.001")]
    unattainable = [r for a in attacks for m, _ in metrics if (r := summary.reason(point, a, m))]
    calls, seconds = (
        tuple(summary.value(point, a, m) for a in attacks) for m in ("model_calls_per_image", "scoring_seconds")
    )
    return Table((
        Column("attack", "Attack", tuple(attacks)),
        *(Column(key, key.capitalize(), tuple(str(summary.facts.get(a, {}).get(key, "")) for a in attacks))
          for key in ("access", "shadows")),
        *(Column(m, title, tuple(summary.value(point, a, m) for a in attacks), 3) for m, title in metrics),
        Column("model_calls_per_image", "Model calls per image", tuple(_bare(value) for value in calls)),
        Column("scoring_seconds", f"Scoring ({summary.seconds})", tuple(_bare(value) for value in seconds)),
        Column("note", "Note", tuple(_note(run, summary, point, attack) for attack in attacks)),
    ), (
        f"{point.label}: means over splits with 95% intervals. Model calls are per pool image, for the attack alone.",
        *_together(summary, point),
        conditions(run),
        *(f"{NOTHING}: {reason}." for reason in dict.fromkeys(unattainable)),
    ))  # fmt: skip


def _note(run: RunData, summary: Summary, point: Point, attack: str) -> str:
    """Why an attack was left out on this model, or what it did instead of what its source describes."""
    left_out = summary.per_split(point, attack, "left_out")
    if left_out:
        reason = next(iter(left_out.values())).method
        splits = len(summary.splits(point))
        return reason if len(left_out) >= splits else f"{reason} ({len(left_out)} of {splits} splits)"
    if run.differences and summary.value(point, attack, "auc") is None:
        return "not in the suite of this model's run"
    start = f"attack {attack}: "
    return "; ".join(str(n).removeprefix(start) for n in run.info.get("attack_notes", []) if str(n).startswith(start))


def _together(summary: Summary, point: Point) -> list[str]:
    """What the attacks cost together and apart, and what measuring their signals took."""
    names = ("model_calls_per_image", "model_calls_per_image_apart")
    together, apart = (summary.value(point, "suite", metric) for metric in names)
    seconds = summary.value(point, "probe", "probe_seconds")
    sentences = []
    if together is not None and apart is not None and together.known and apart.known:
        sentences.append(
            f"The suite makes {number(together.value)} model calls per pool image, samples included; its attacks apart "
            f"would make {number(apart.value)}."
        )
    if seconds is not None and seconds.known:
        sentences.append(f"Probing one model took {number(seconds.value)} {summary.seconds}.")
    return [" ".join(sentences)] if sentences else []


def _bare(value: Value | None) -> Value | None:
    """Costs without their intervals, which say nothing of a count that is fixed or of a time on one machine."""
    return None if value is None else Value(value.value, float("nan"), float("nan"), value.n, value.method)
