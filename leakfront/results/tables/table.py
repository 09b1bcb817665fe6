"""A table of texts and numbers with intervals, as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from leakfront.results.run.value import Value

NOTHING = "–"
_TEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}", "|":
    r"\textbar{}", "ε": r"$\varepsilon$", "δ": r"$\delta$", "μ": r"$\mu$", "≥": r"$\geq$", "–": "--",
    "×": r"$\times$", "−": "$-$",
}  # fmt: skip


Entry = Value | str | None


@dataclass(frozen=True)
class Cell:
    """A printed cell: a text or number, its interval ("[11.8, 13.2]" or nothing) and a word about it (or nothing).

    value: the number itself; None for a text.
    """

    text: str
    interval: str = ""
    value: float | None = None
    word: str = ""

    def __str__(self) -> str:
        return " ".join(filter(None, (self.text, self.interval, self.word)))


@dataclass(frozen=True)
class Column:
    """key: its name in the CSV. title: its heading, empty for a column that is in the CSV only. decimals: of printed
    numbers, None for 3 significant digits. words: one to print with each entry, as the strength of a defense."""

    key: str
    title: str
    entries: tuple[Entry, ...]
    decimals: int | None = None
    words: tuple[str, ...] = ()

    @cached_property
    def numeric(self) -> bool:
        """Whether any entry is a number."""
        return any(isinstance(entry, Value) for entry in self.entries)

    @cached_property
    def cells(self) -> list[Cell]:
        """The printed cells."""
        words = self.words or [""] * len(self.entries)
        return [replace(shown(e, self.decimals), word=word) for e, word in zip(self.entries, words, strict=True)]


@dataclass(frozen=True)
class Table:
    """Columns of equal length, and notes to print below them."""

    columns: tuple[Column, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def printed(self) -> list[Column]:
        """The columns that are not for the CSV only, and that are not empty in all rows."""
        titled = [column for column in self.columns if column.title]
        return [column for column in titled if not column.entries or any(cell.text for cell in column.cells)]

    def rows(self) -> list[list[Cell]]:
        """The printed cells, row by row."""
        return [list(row) for row in zip(*(column.cells for column in self.printed), strict=True)]

    def to_csv(self) -> str:
        """All columns at full precision; a number has the columns KEY, KEY_low and KEY_high, empty where unknown."""
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
        """A tabular for booktabs, without its table environment."""
        form = "".join("r" if column.numeric else "l" for column in self.printed)
        heads = " & ".join(latex(column.title) for column in self.printed)
        body = [" & ".join(_latex_cell(cell) for cell in row) for row in self.rows()]
        # a line that begins with one of these would be read as an argument of the \\ before it
        body = [f"{{}}{line}" if line.startswith(("[", "*")) else line for line in body]
        notes = "".join(f"% {latex(note)}\n" for note in self.notes)
        head = f"% \\usepackage{{booktabs}}\n{notes}\\begin{{tabular}}{{{form}}}\n\\toprule\n{heads} \\\\\n\\midrule\n"
        return head + "".join(f"{line} \\\\\n" for line in body) + "\\bottomrule\n\\end{tabular}\n"


def number(value: float, decimals: int | None = None) -> str:
    """The number with fixed decimals, or with 3 significant digits and no exponent for anything from 0.001 up."""
    if not math.isfinite(value):
        return NOTHING if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if decimals is not None:
        text = f"{value:.{decimals}f}"
    else:
        text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return text.replace("-", "−") if "e" not in text else text


def counted(count: object, plural: str) -> str:
    """A number with its noun: "1 thread", "2 workers"."""
    return f"{'?' if count is None else count} {plural.removesuffix('s') if count == 1 else plural}"


def shown(entry: Entry, decimals: int | None = None) -> Cell:
    """The printed cell of an entry."""
    if isinstance(entry, str):
        return Cell(entry)
    if entry is None or not entry.known:
        return Cell(NOTHING)
    ends = f"[{number(entry.low, decimals)}, {number(entry.high, decimals)}]" if entry.has_interval else ""
    return Cell(number(entry.value, decimals), ends, entry.value)


def latex(text: str) -> str:
    """The text with every character escaped that LaTeX would read as a command."""
    return "".join(_TEX.get(character, character if character.isprintable() else " ") for character in text)


def _latex_cell(cell: Cell) -> str:
    return latex(cell.text) + "".join(f" {{\\scriptsize {latex(s)}}}" for s in (cell.interval, cell.word) if s)


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
