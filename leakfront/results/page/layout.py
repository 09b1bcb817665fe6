"""How a table is laid out on the page: narrow enough for a window of 1,200 pixels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from leakfront.results.tables.table import Cell, Column, Table

if TYPE_CHECKING:
    from markupsafe import Markup

_BY = "_attack"  # ends the key of a column that names the attack of the number before it
_LONG, _SENTENCE = 9, 40  # characters


@dataclass(frozen=True)
class PageColumn:
    """A column with its cells; below: a line under each cell, empty where there is none."""

    column: Column
    cells: Sequence[Cell]
    below: Sequence[str]

    @property
    def title(self) -> str:
        return self.column.title

    @property
    def of_numbers(self) -> bool:
        """Whether no entry is a text; numbers may all be missing."""
        return not any(isinstance(entry, str) for entry in self.column.entries)

    def kind(self, row: int) -> str:
        """The CSS class of a cell."""
        if self.of_numbers:
            return "number"
        length = len(self.cells[row].text)
        return "sentence" if length > _SENTENCE else "words" if length > _LONG else ""


def page_columns(table: Table) -> list[PageColumn]:
    """The printed columns of a table, but for empty ones; an attack's name stands below its number, in one column."""
    columns: list[PageColumn] = []
    for column in table.printed:
        cells = column.cells()
        before = columns[-1] if columns else None
        if before is not None and column.key == f"{before.column.key}{_BY}":
            title = f"{before.title}, {column.title}"
            below = [cell.text for cell in cells]
            columns[-1] = replace(before, column=replace(before.column, title=title), below=below)
        elif not cells or any(cell.text for cell in cells):
            columns.append(PageColumn(column, cells, [""] * len(cells)))
    return columns


def breakable(text: str) -> Markup:
    """A text for a narrow column: a line may end after "=", "_" and "+"."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<=[=_+])(?=\w)", "<wbr>", str(escape(text))))
