"""The contract of a figure, checked by drawing a run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from leakfront.results.figures import Drawn, Figure, NotDrawn, save
from leakfront.testing.plugin import calling, check_line, check_plugin, named, require

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData


def check_figure(figure: type[Figure] | Figure, run: RunData) -> None:
    """Raise `AssertionError` unless a figure keeps to the contract of `leakfront.results.figures.Figure`.

    figure: a class, or an instance. run: a finished run, `RunData(folder)`.

    It checks that the figure is drawn with a title and a caption, or says in one line why it is not. A drawn figure
    must be the same each time, byte by byte, as PDF, SVG and PNG. The run's rows must stay as they were.
    """
    import matplotlib.pyplot as plt

    figure = check_plugin(figure, Figure, "figure")
    who = named(figure, "figure")
    check_line(figure.title, f"the title of {who}")
    before = run.rows.copy()
    with calling(f"{who}: draw"):
        first, second = figure.draw(run), figure.draw(run)
    require(run.rows.equals(before), f"{who} must not change the rows of the run")
    require(isinstance(first, Drawn | NotDrawn), f"draw of {who} must return Drawn or NotDrawn")
    require(type(first) is type(second), f"{who} must draw the same run each time, or never")
    if isinstance(first, NotDrawn):
        check_line(first.reason, f"the reason of {who}")
        return
    assert isinstance(second, Drawn)
    check_line(first.title, f"the title of {who}")
    require(first.caption.strip(), f"{who} must have a caption that says what is drawn and how to read it")
    with tempfile.TemporaryDirectory() as place:
        with calling(f"{who}: saving it"):
            one = save(first.figure, Path(place) / "one", figure.name)
            two = save(second.figure, Path(place) / "two", figure.name)
        same = all(a.read_bytes() == b.read_bytes() for a, b in zip(one, two, strict=True))
        require(same, f"{who} must be the same each time, byte by byte")
    plt.close(first.figure)
    plt.close(second.figure)
