"""The figures, one file each, drawn from a finished run's rows and stored arrays; no model is needed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from leakfront.registry import Registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from leakfront.results.run.data import RunData

figures = Registry("figure", "leakfront.results.figures", "leakfront.figures")


class RunFigure(Protocol):
    """A class without parameters, registered by name."""

    name: ClassVar[str]
    title: ClassVar[str]
    caption: str  # what is drawn and how to read it, which `draw` may change; the report adds the run's conditions
    reason: str  # why `draw` returned None

    def draw(self, run: RunData) -> Figure | None:
        """The figure, or None when the run holds nothing to draw; `reason` then says what is missing."""


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `name` as PDF, SVG and PNG, in the theme in force; the same figure gives the same bytes. The paths.

    They are made in memory: a full disk is then an `OSError`, and not what matplotlib makes of it.
    """
    from leakfront.results.figures.drawing import enlarge, style, themes

    folder.mkdir(parents=True, exist_ok=True)
    undated: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
        "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
        "png": {"Software": None},
    }
    factor = themes.current().enlarged(figure.get_figwidth())
    paths = []
    with style.theme():
        for suffix, metadata in undated.items():
            file = io.BytesIO()
            if suffix == "pdf" and factor != 1:
                enlarge.save_pdf(figure, file, factor, metadata)
            else:
                dpi = style.DPI if factor == 1 else style.SLIDE_DPI * factor
                figure.savefig(file, format=suffix, metadata=metadata, dpi=dpi)
            saved = file.getvalue()
            paths.append(folder / f"{name}.{suffix}")
            paths[-1].write_bytes(enlarge.enlarged_svg(saved, factor) if suffix == "svg" and factor != 1 else saved)
    return paths
