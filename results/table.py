"""The tables: one row for each defense and strength, over all splits; as CSV, Markdown, LaTeX, and in the terminal."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from results.families import MANY
from results.points import Point, Summary, Value, is_given

if TYPE_CHECKING:
    import rich.table

    from results.run_data import RunData

NOTHING = "–"
MEANS = (
    "Means over splits with 95% intervals (audited epsilon: the highest of the splits' bounds, corrected for their "
    f"number); {NOTHING}: no number."
)
_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|":
    r"\textbar{}", "ε": r"$\varepsilon$", "δ": r"$\delta$", "≥": r"$\geq$", "–": "--",
    "×": r"$\times$", "−": "$-$",
}  # fmt: skip


Entry = Value | str | None


@dataclass(frozen=True)
class Cell:
    """What is printed: a text or number, and the interval beside it ("[11.8, 13.2]" or nothing); `value` is the number
    itself, None for a text."""

    text: str
    interval: str = ""
    value: float | None = None

    def __str__(self) -> str:
        return f"{self.text} {self.interval}".strip()


@dataclass(frozen=True)
class Column:
    """key: its name in the CSV; title: its heading, empty for a column that is in the CSV only; decimals: how numbers
    are printed, None for 3 significant digits."""

    key: str
    title: str
    entries: tuple[Entry, ...]
    decimals: int | None = None

    @property
    def numeric(self) -> bool:
        return any(isinstance(entry, Value) for entry in self.entries)

    def cells(self) -> list[Cell]:
        """The entries as they are printed."""
        return [shown(entry, self.decimals) for entry in self.entries]


@dataclass(frozen=True)
class Table:
    """Columns of equal length."""

    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()  # to be printed below

    @property
    def printed(self) -> list[Column]:
        return [column for column in self.columns if column.title]

    def rows(self) -> list[list[Cell]]:
        """The printed cells, row by row."""
        return [list(row) for row in zip(*(column.cells() for column in self.printed), strict=True)]

    def to_csv(self) -> str:
        """Full precision; a number has the columns KEY, KEY_low and KEY_high, empty where unknown."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([key for c in self.columns for key in _csv_keys(c)])
        for entries in zip(*(column.entries for column in self.columns), strict=True):
            writer.writerow([x for c, entry in zip(self.columns, entries, strict=True) for x in _csv(c, entry)])
        return out.getvalue()

    def to_markdown(self) -> str:
        """A pipe table, with the notes below."""
        rule = ["---:" if column.numeric else "---" for column in self.printed]
        body = [[_markdown(str(cell)) for cell in row] for row in self.rows()]
        lines = [[_markdown(column.title) for column in self.printed], rule, *body]
        table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        return table + "".join(f"\n{_markdown(note)}\n" for note in self.notes)

    def to_latex(self) -> str:
        """A tabular for booktabs, to be put into a table environment."""
        form = "".join("r" if column.numeric else "l" for column in self.printed)
        heads = " & ".join(latex(column.title) for column in self.printed)
        body = [" & ".join(_latex_cell(cell) for cell in row) for row in self.rows()]
        body = [f"{{}}{line}" if line.startswith(("[", "*")) else line for line in body]  # else an argument of \\
        notes = "".join(f"% {latex(note)}\n" for note in self.notes)
        head = f"% \\usepackage{{booktabs}}\n{notes}\\begin{{tabular}}{{{form}}}\n\\toprule\n{heads} \\\\\n\\midrule\n"
        return head + "".join(f"{line} \\\\\n" for line in body) + "\\bottomrule\n\\end{tabular}\n"


def main_table(run: RunData) -> Table:
    """Guarantee, utility, extraction, membership, audit and time of every defense at every strength."""
    summary = Summary(run)
    points = summary.points
    strongest_auc, strongest_tpr = ([summary.strongest(p, m) for p in points] for m in ("auc", "tpr_at_fpr_0.01"))
    many = len(summary.attacks) > MANY  # their AUCs are printed in a table of their own
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


def conditions(run: RunData) -> str:
    """What every number of the run rests on, in one sentence; and what several runs do not share, in another."""
    summary, infos = Summary(run), [source.info for source in run.sources]
    data = [info.get("dataset", {}) for info in infos]
    counts = sorted({len(summary.splits(point)) for point in summary.points} or {0})
    trained = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    elsewhere = len(summary.points) == 1 and all("given_model" in info for info in infos)
    quality = (
        f"FID on {summary.features or stated(infos, 'features', 'unnamed')} features against "
        f"{stated(data, 'reference')} real images outside the pool"
    )
    parts = [
        *_membership(run, data),
        "one given model"
        if elsewhere
        else f"{trained} split{'s' if trained != '1' else ''} (one model each) per defense and strength",
        f"{stated(infos, 'samples_per_model')} samples from each model",
        quality if any(one.get("reference", "?") for one in data) else "no FID, for want of images outside the pool",
        f"attack suite {stated(infos, 'suite')}",
    ]
    return " ".join(["; ".join(parts) + ".", *run.differences])


def _membership(run: RunData, data: Sequence[dict[str, Any]]) -> list[str]:
    """The pool, and how its members came to be: by coins, or as they were given."""
    flipped, given = (
        [one for one, source in zip(data, run.sources, strict=True) if is_given(source) is kind]
        for kind in (False, True)
    )
    sentences = []
    if flipped:
        sentences.append(
            f"Pool of {stated(flipped, 'pool')} {stated(flipped, 'name', '')} images, each a member with probability "
            f"{stated(flipped, 'coin')}"
        )
    if given:
        members = stated(given, "members")
        sentences.append(f"Pool of {stated(given, 'pool')} images, {members} of them members, as given")
    return sentences


def stated(infos: Sequence[dict[str, Any]], key: str, unknown: str = "?") -> str:
    """What run.json says, or what those of several runs say: "120 or 150"."""
    return " or ".join(dict.fromkeys(str(info.get(key, unknown)) for info in infos))


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


def number(value: float, decimals: int | None = None) -> str:
    """Fixed decimals, or 3 significant digits and no exponent for anything from 0.001 up."""
    if not math.isfinite(value):
        return NOTHING if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if decimals is not None:
        text = f"{value:.{decimals}f}"
    else:
        text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "−") if "e" not in text else text


def shown(entry: Entry, decimals: int | None = None) -> Cell:
    """An entry as it is printed."""
    if isinstance(entry, str):
        return Cell(entry)
    if entry is None or not entry.known:
        return Cell(NOTHING)
    ends = f"[{number(entry.low, decimals)}, {number(entry.high, decimals)}]" if entry.has_interval else ""
    return Cell(number(entry.value, decimals), ends, entry.value)


def latex(text: str) -> str:
    """Text with everything that LaTeX would read as a command made harmless."""
    return "".join(_TEX.get(character, character if character.isprintable() else " ") for character in text)


def _claim(run: RunData, point: Point) -> dict[str, Any] | None:
    claim: dict[str, Any] | None = run.info.get("guarantees", {}).get(point.label)
    return claim


def _latex_cell(cell: Cell) -> str:
    return latex(cell.text) + (f" {{\\scriptsize {latex(cell.interval)}}}" if cell.interval else "")


def _markdown(text: str) -> str:
    for character, replacement in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), (">", "&gt;"), ("](", "]\\(")):
        text = text.replace(character, replacement)
    return "".join(character if character.isprintable() else " " for character in text)


def _csv_keys(column: Column) -> list[str]:
    return [column.key, f"{column.key}_low", f"{column.key}_high"] if column.numeric else [column.key]


def _csv(column: Column, entry: Entry) -> Sequence[str]:
    if not column.numeric:
        return [str(entry or "")]
    numbers = (math.nan,) * 3 if not isinstance(entry, Value) else (entry.value, entry.low, entry.high)
    return ["" if math.isnan(x) else repr(float(x)) for x in numbers]
