"""How the cells of a table are laid out on the page: narrow enough for a window of 1,200 pixels."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markupsafe import Markup

    from leakfront.results.tables.table import Cell, Column

_LONG, _SENTENCE = 9, 40  # characters


def of_numbers(column: Column) -> bool:
    """Whether no entry of a column is a text; numbers may all be missing."""
    return not any(isinstance(entry, str) for entry in column.entries)


def cell_class(column: Column, cell: Cell) -> str:
    """The CSS class of a cell; empty for a short text."""
    if of_numbers(column):
        return "number"
    return "sentence" if len(cell.text) > _SENTENCE else "words" if len(cell.text) > _LONG else ""


def breakable(text: str) -> Markup:
    """A text for a narrow column: a line may end after "=", "_" and "+"."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"(?<=[=_+])(?=\w)", "<wbr>", str(escape(text))))
