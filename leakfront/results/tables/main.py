"""The main table: one row for each defense and strength, over all splits; on the page and in the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from leakfront.results.run.conditions import conditions
from leakfront.results.run.summary import Point, Summary, is_given
from leakfront.results.tables.table import NOTHING, Cell, Column, Entry, Table, number, shown

if TYPE_CHECKING:
    import rich.table

    from leakfront.results.run.data import RunData

MEANS = (
    "Means over splits with 95% intervals (audited epsilon: the highest of the splits' bounds, corrected for their "
    f"number); {NOTHING}: no number."
)


def main_table(run: RunData) -> Table:
    """Guarantee, utility, extraction, membership, audit and time of every defense at every strength."""
    summary = Summary(run)
    points = summary.points
    strongest_auc, strongest_tpr = ([summary.strongest(p, m) for p in points] for m in ("auc", "tpr_at_fpr_0.01"))
    many = len(summary.attacks) > 1  # their AUCs are printed in a table of their own
    bounds = [summary.strongest(point, "epsilon_lower_bound") for point in points]

    def column(key: str, title: str, entry: Callable[[Point], Entry], decimals: int | None = None) -> Column:
        return Column(key, title, tuple(entry(point) for point in points), decimals)

    return Table((
        column("defense", "Defense", lambda p: p.defense),
        column("params", "Strength", lambda p: p.params),
        column("guarantee", "Guarantee", lambda p: guarantee(run, p)),
        column("covers", "Covers", lambda p: str(run.info.get("covers", {}).get(p.label, "") or "")),
        column("splits", "Splits", lambda p: splits(summary, p)),
        column("fid", f"FID ({summary.features})" if summary.features else "FID", summary.fid),
        column("kid", "KID", summary.kid),
        column("extracted", f"Extracted, {summary.fdr} FDR", summary.extracted),
        *((column("planted_extracted", "of them planted", summary.planted),)
          if any(summary.planted(p) for p in points) else ()),
        *((column("extracted_with_weights", "Extracted with the weights", summary.extracted_with_weights),)
          if any(summary.extracted_with_weights(p) for p in points) else ()),
        *(column(f"auc_{a}", "" if many else f"AUC {a}", lambda p, a=a: summary.value(p, a, "auc"), 3)  # type: ignore[misc]
          for a in summary.attacks),
        *((Column("auc", "Highest AUC", tuple(t[1] if t else None for t in strongest_auc), 3),
           Column("auc_attack", "by", tuple(t[0] if t else "" for t in strongest_auc))) if many else ()),
        Column("tpr_at_fpr_0.01", "TPR at 1% FPR, highest", tuple(t[1] if t else None for t in strongest_tpr), 3),
        Column("tpr_at_fpr_0.01_attack", "by", tuple(t[0] if t else "" for t in strongest_tpr)),
        Column("epsilon_lower_bound", "Audited ε ≥", tuple(b[1] if b else None for b in bounds), 2),
        column("training_seconds", f"Training ({summary.seconds})",
               lambda p: summary.value(p, "train", "training_seconds")),
    ), (conditions(run), MEANS, *_terms(run)))  # fmt: skip


def terminal(run: RunData) -> rich.table.Table:
    """The main numbers for a terminal of 80 columns or more; strengths and intervals stand below their numbers."""
    import rich.box
    import rich.table
    from rich.text import Text

    summary = Summary(run)
    table = rich.table.Table(
        title=Text(str(run.info.get("title") or run.info.get("name", ""))), caption=Text(conditions(run)),
        caption_justify="left", box=rich.box.HORIZONTALS, show_lines=True, padding=(0, 1),
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    table.add_column("Defense", overflow="fold")
    for heading in (
        "FID",
        f"Extracted\n{summary.fdr} FDR",
        "Highest\nAUC",
        "Claimed,\naudited ε",
        f"Train\n({summary.seconds})",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for point in summary.points:
        auc, bound = summary.strongest(point, "auc"), summary.strongest(point, "epsilon_lower_bound")
        claim, lost = _claim(run, point), summary.diverged(point) or summary.failed(point)
        name = [point.defense, point.params, f"splits: {splits(summary, point)}" if lost else ""]
        best = Cell(f"{auc[0]} {number(auc[1].value, 2)}", shown(auc[1], 2).interval) if auc else Cell(NOTHING)
        epsilon = Cell(
            f"≤ {number(float(claim['epsilon']))}" if claim else NOTHING,
            f"≥ {number(bound[1].value, 2)}" if bound else "",
        )
        seconds = shown(summary.value(point, "train", "training_seconds"))
        cells = [shown(summary.fid(point)), shown(summary.extracted(point)), best, epsilon, Cell(seconds.text)]
        table.add_row(Text("\n".join(filter(None, name))), *(Text(f"{c.text}\n{c.interval}".strip()) for c in cells))
    return table


def guarantee(run: RunData, point: Point) -> str:
    """The differential-privacy guarantee in words, empty without one."""
    claim = _claim(run, point)
    if not claim:
        return ""
    text = f"ε = {number(float(claim['epsilon']))}, δ = {float(claim['delta']):g}"
    if claim.get("group_epsilon") is not None:
        text += f"; ε = {number(float(claim['group_epsilon']))} for {claim['group']} copies together"
    return text


def _terms(run: RunData) -> list[str]:
    """For whom and by which accountant the guarantees hold."""
    claims = [claim for claim in run.info.get("guarantees", {}).values() if claim]
    units = [f"per {c.get('unit', 'training image')}, {c.get('accountant', 'unnamed')} accountant" for c in claims]
    terms = [f"Guarantees are {'; '.join(dict.fromkeys(units))}."] if units else []
    delta = audit_delta(run)
    audited = delta is not None and not all(is_given(source) for source in run.sources)
    return [*terms, f"Epsilon is audited at δ = {delta:g}."] if audited else terms


def audit_delta(run: RunData) -> float | None:
    """The delta of the audited bound, which a claim must not exceed to be compared with it."""
    delta = run.info.get("config", {}).get("statistics", {}).get("audit_delta")
    return float(delta) if delta is not None else None


def splits(summary: Summary, point: Point) -> str:
    """How many splits were measured, and what became of the others."""
    parts = [str(len(summary.splits(point)))]
    for others, what in ((summary.diverged(point), "diverged"), (summary.failed(point), "failed")):
        if others:
            parts.append(f"{len(others)} {what}")
    return ", ".join(parts)


def _claim(run: RunData, point: Point) -> dict[str, Any] | None:
    claim: dict[str, Any] | None = run.info.get("guarantees", {}).get(point.label)
    return claim
