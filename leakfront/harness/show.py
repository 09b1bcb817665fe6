"""The main numbers of a run, for a terminal and for a notebook."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from leakfront.results.run.data import RunData


def print_numbers(run: RunData, console: Console) -> None:
    """Print the table of a run, behind what should be known before it is read."""
    from leakfront.results.run.plausibility import in_front
    from leakfront.results.tables.main import terminal

    for line in in_front(run):
        console.print(line, highlight=False, markup=False)
    console.print(terminal(run))


def numbers_as_html(run: RunData) -> str:
    """The same as HTML without a page around it; nothing in it comes from the run unescaped."""
    from leakfront.results.run.controls import stated, warnings
    from leakfront.results.run.plausibility import in_front
    from leakfront.results.tables.main import main_table

    table = main_table(run)
    head = "".join(f"<th>{escape(column.title)}</th>" for column in table.printed)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in cells)}</tr>" for cells in table.rows()
    )  # fmt: skip
    lines = [*in_front(run), *warnings(run), *stated(run)]
    said = "".join(f"<p>{escape(line)}</p>" for line in (*lines, *table.notes[:1]))
    return f"{said}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
