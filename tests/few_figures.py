"""Reports with fewer figures, or fewer forms of them: to draw all takes longer than all else in a report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from leakfront.results.figures import figures
from leakfront.results.figures import save as save_all
from leakfront.results.figures.drawing import style


@contextmanager
def only(*names: str) -> Iterator[None]:
    """In the block, reports of this process hold these figures."""
    assert set(names) <= set(figures.names())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leakfront.results.report.drawn_names", lambda runs: list(names))
        yield


@contextmanager
def as_svg(*but: str) -> Iterator[None]:
    """In the block, reports of this process hold their figures in the form that pages show alone; but: not these."""

    def save(figure: Figure, folder: Path, name: str) -> None:
        if name in but:
            save_all(figure, folder, name)
            return
        folder.mkdir(parents=True, exist_ok=True)
        with style.theme():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})  # the same figure gives the same bytes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leakfront.results.report.save", save)
        yield
