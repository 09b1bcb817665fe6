"""The main table: one row for each defense and strength, over all splits; for the page and for the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leakfront.results.run.claims import claim, covers, terms
from leakfront.results.run.conditions import conditions, quality_metric
from leakfront.results.run.controls import of_halves, stated, warnings
from leakfront.results.run.rows import AUC_OF_HALVES
from leakfront.results.run.saturation import SATURATED, WHY, strongest_is_saturated
from leakfront.results.tables.table import NOTHING, Cell, Column, Entry, Table, number, shown

if TYPE_CHECKING:
    import rich.console
    import rich.table

    from leakfront.results.run.data import RunData
    from leakfront.results.run.point import Point
    from leakfront.results.run.summary import Summary
    from leakfront.results.run.value import Value

MEANS = (
    "Numbers are means over splits with 95% intervals. The highest AUC and TPR are chosen after seeing all attacks; "
    "below them stands the attack that reached them. {}The audited ε is the highest lower bound over splits, attacks "
    f"and numbers of guesses, corrected for all of them. {NOTHING}: no number."
)
OF_PLANTED = "Below the extracted images stands how many of them were planted several times. "
COVERS = (
    "Covers: the attackers whom the defense reaches. All access: samples, loss and gradients. As served only: those "
    "who see the samples as served; such a defense does nothing against an attacker who holds the weights."
)


def main_table(run: RunData) -> Table:
    """Guarantee, quality, extraction, membership inference, audit and time of every defense at every strength.

    Only the CSV has the AUC of every attack, and columns that say nothing here: guarantees and reach where there are
    none, and the number of splits where it is the same for all.
    """
    summary, points = run.summary, run.summary.points
    guarantees, reach = [guarantee(run, p) for p in points], [covers(run, [p]) for p in points]
    counts, planted = [splits(summary, p) for p in points], [summary.planted(p) for p in points]
    defended = any(words not in ("", "–") for words in reach)

    def column(key: str, title: str, entry: Callable[[Point], Entry], decimals: int | None = None) -> Column:
        return Column(key, title, tuple(entry(point) for point in points), decimals)

    def highest(key: str, title: str, metric: str, level: float | None = None) -> tuple[Column, Column]:
        best = [summary.strongest(point, metric, level) for point in points]
        attacks = tuple(found[0] if found else "" for found in best)
        values: tuple[Value | None, ...] = tuple(found[1] if found else None for found in best)
        return Column(key, title, values, 3, attacks), Column(f"{key}_attack", "", attacks)

    bounds = [summary.strongest(point, "epsilon_lower_bound") for point in points]
    full = tuple(SATURATED if strongest_is_saturated(summary, point) else "" for point in points)
    return Table((
        Column("defense", "Defense", tuple(p.defense for p in points), words=tuple(p.params for p in points)),
        column("params", "", lambda p: p.params),
        Column("guarantee", "Guarantee" if any(guarantees) else "", tuple(guarantees),
               words=tuple(group_guarantee(run, p) for p in points)),
        column("group_guarantee", "", lambda p: group_guarantee(run, p)),
        Column("covers", "Covers" if defended else "", tuple(reach)),
        Column("splits", "Splits" if len(set(counts)) > 1 or _lost(summary) else "", tuple(counts)),
        column("fid", "FID", summary.fid),
        column("kid", "KID", summary.kid),
        Column("extracted", f"Extracted, {summary.fdr} FDR" if any(map(summary.extracted, points)) else "",
               tuple(summary.extracted(p) for p in points),
               words=tuple(f"({shown(count).text} planted)" if count else "" for count in planted)),
        *((Column("planted_extracted", "", tuple(planted)),) if any(planted) else ()),
        *((column("extracted_with_weights", "Extracted with weights", summary.extracted_with_weights),)
          if any(summary.extracted_with_weights(p) for p in points) else ()),
        *(column(f"auc_{a}", "", lambda p, a=a: summary.value(p, a, "auc"), 3)  # type: ignore[misc]
          for a in summary.attacks),
        *((column("auc", f"AUC, {summary.in_front}", lambda p: summary.value(p, str(summary.in_front), "auc"), 3),)
          if summary.in_front else ()),
        *((column(AUC_OF_HALVES, "of halves", lambda p: of_halves(summary, p), 3),)
          if any(of_halves(summary, p) for p in points) else ()),
        *highest("highest_auc" if summary.in_front else "auc", "Highest AUC", "auc"),
        *highest("tpr_at_fpr_0.01", "Highest TPR at 1% FPR", "tpr_at_fpr", 0.01),
        Column("epsilon_lower_bound", "Audited ε ≥", tuple(b[1] if b else None for b in bounds), 2, full),
        column("training_seconds", f"Training ({summary.seconds})",
               lambda p: summary.value(p, "train", "training_seconds")),
    ), (
        conditions(run), MEANS.format(OF_PLANTED if any(planted) else ""),
        *([f"{SATURATED.capitalize()}: {WHY}."] if any(full) else []),
        *([COVERS] if defended else []), *terms(run),
    ))  # fmt: skip


def terminal(run: RunData) -> rich.console.Group:
    """What controls found, and the main numbers for a terminal of 80 columns or more, with intervals below them."""
    from rich.console import Group
    from rich.text import Text

    return Group(*(Text(f"{sentence}\n") for sentence in (*warnings(run), *stated(run))), _numbers(run))


def _numbers(run: RunData) -> rich.table.Table:
    """The main table with strengths below the names, and beside the AUC that of halves of the decoys."""
    import rich.box
    import rich.table
    from rich.text import Text

    summary = run.summary
    table = rich.table.Table(
        title=Text(str(run.info.get("title") or run.info.get("name", ""))), caption=Text(conditions(run)),
        caption_justify="left", box=rich.box.HORIZONTALS, show_lines=True, padding=(0, 1),
        pad_edge=False, collapse_padding=True,
    )  # fmt: skip
    table.add_column("Defense", overflow="fold")
    leading = [summary.leading(point) for point in summary.points]
    attacks = {found[0] for found in leading if found}
    one = attacks.pop() if len(attacks) == 1 else ""  # its name stands above the column, in two lines
    auc_heading = "AUC" if summary.in_front else "Highest AUC"
    if one:
        auc_heading += ", " + "_\n".join(one.rsplit("_", 1))
    quality, extracts = quality_metric(run), any(map(summary.extracted, summary.points))
    for heading in (
        quality,
        *([f"Extracted\n{summary.fdr} FDR"] if extracts else []),
        auc_heading,
        "Claimed,\naudited ε",
        f"Train\n({summary.seconds})",
    ):
        table.add_column(heading, justify="right", no_wrap=True)
    for point, auc in zip(summary.points, leading, strict=True):
        bound = summary.strongest(point, "epsilon_lower_bound")
        claimed, lost = claim(run, point), summary.diverged(point) or summary.failed(point)
        name = [point.defense, point.params, f"splits: {splits(summary, point)}" if lost else ""]
        best = Cell(NOTHING)
        if auc:
            halves = of_halves(summary, point)
            words = ["" if one else auc[0], f"halves {shown(halves, 2).interval}" if halves else ""]
            best = Cell(number(auc[1].value, 2), shown(auc[1], 2).interval, word="\n".join(filter(None, words)))
        epsilon = Cell(
            f"≤ {number(float(claimed['epsilon']))}" if claimed else NOTHING,
            f"≥ {number(bound[1].value, 2)}" if bound else "",
            word=SATURATED if strongest_is_saturated(summary, point) else "",
        )
        seconds = shown(summary.value(point, "train", "training_seconds"))
        image = summary.kid(point) if quality == "KID" else summary.fid(point)
        extracted = [shown(summary.extracted(point))] if extracts else []
        cells = [shown(image), *extracted, best, epsilon, Cell(seconds.text)]
        lines = ["\n".join(filter(None, (c.text, c.interval, c.word))) for c in cells]
        table.add_row(Text("\n".join(filter(None, name))), *map(Text, lines))
    return table


def guarantee(run: RunData, point: Point) -> str:
    """The differential-privacy guarantee for one image in words; empty without one."""
    found = claim(run, point)
    return f"ε = {number(float(found['epsilon']))}, δ = {float(found['delta']):g}" if found else ""


def group_guarantee(run: RunData, point: Point) -> str:
    """The guarantee for all copies of an image together; empty without one."""
    found = claim(run, point) or {}
    epsilon = found.get("group_epsilon")
    return f"ε = {number(float(epsilon))} for {found['group']} copies together" if epsilon is not None else ""


def _lost(summary: Summary) -> bool:
    """Whether any model diverged or failed."""
    return any(summary.diverged(point) or summary.failed(point) for point in summary.points)


def splits(summary: Summary, point: Point) -> str:
    """How many splits were measured, and how many diverged or failed: "2, 1 diverged"."""
    parts = [str(len(summary.splits(point)))]
    for others, fate in ((summary.diverged(point), "diverged"), (summary.failed(point), "failed")):
        if others:
            parts.append(f"{len(others)} {fate}")
    return ", ".join(parts)
