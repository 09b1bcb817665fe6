"""The figures, one file each, drawn from a finished run's rows and stored arrays; no model is needed."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from leakfront.registry import Plugin, Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure as MatplotlibFigure

    from leakfront.results.run.data import RunData

figures = Registry("figure", "leakfront.results.figures", "leakfront.figures")
register = figures.register


@dataclass(frozen=True)
class Drawn:
    """A figure with its title and caption.

    title: without a full stop. caption: what is drawn and how to read it; the report adds the conditions of the run.
    """

    figure: MatplotlibFigure
    title: str
    caption: str


@dataclass(frozen=True)
class NotDrawn:
    """The run has nothing to draw. reason: completes "not drawn: …", without a full stop."""

    reason: str


class Figure(Plugin):
    """A plug-in that draws one figure of a run.

    Class attributes: `title`, used where nothing is drawn, and as the title of what is drawn unless `draw` sets
    another; `shows_images`, False for a figure that draws numbers alone. Reports that may be shared have only such
    figures.
    """

    section = "figures"
    title: ClassVar[str]
    shows_images: ClassVar[bool] = True

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        """Draw the figure, in the theme in force (`drawing.themes`), or say what the run lacks."""
        raise NotImplementedError


def drawn_names(runs: Iterable[RunData]) -> list[str]:
    """The figures of a report: those that are built in, and those of installed packages that a run's config names."""
    named: list[Any] = []
    for run in runs:
        config = run.info.get("config")
        listed = config.get("figures") if isinstance(config, dict) else None
        named += listed if isinstance(listed, list) else []
    return [name for name in figures.names() if name in named or not figures.offered_by(name)]


def save(figure: MatplotlibFigure, folder: Path, name: str) -> list[Path]:
    """Write `name` as PDF, SVG and PNG in the theme in force; return the paths. The same figure gives the same bytes.

    All three have one layout. The files are made in memory first, so that a full disk raises `OSError` instead of an
    error of matplotlib's.
    """
    from leakfront.results.figures.drawing import enlarge, style, themes

    folder.mkdir(parents=True, exist_ok=True)
    undated: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
        "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
        "png": {"Software": None},
    }
    factor = themes.current().enlarged(figure.get_figwidth())
    dpi = style.DPI if factor == 1 else style.SLIDE_DPI * factor
    paths = []
    with style.theme(), style.laid_out(figure, dpi):
        for suffix, metadata in undated.items():
            file = io.BytesIO()
            if suffix == "pdf" and factor != 1:
                enlarge.save_pdf(figure, file, factor, metadata)
            else:
                figure.savefig(file, format=suffix, metadata=metadata, dpi=dpi)
            saved = file.getvalue()
            paths.append(folder / f"{name}.{suffix}")
            paths[-1].write_bytes(enlarge.enlarged_svg(saved, factor) if suffix == "svg" and factor != 1 else saved)
    return paths
