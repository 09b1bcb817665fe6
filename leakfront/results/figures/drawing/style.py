"""The look of every figure: type, lines, and colours that colour-blind readers and grey prints keep apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from leakfront.results.figures.drawing.themes import PAPER, current

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from leakfront.results.run.point import Point

Colour = Callable[[float], tuple[float, float, float, float]]  # value -> RGBA in 0 … 1

WIDTH, PAGE = PAPER.width, PAPER.page  # inches: one column of a paper, and both
DPI, SLIDE_DPI = 300, 144
GREY, FAINT = "#6b6b6b", "#c9c9c9"
LOWEST_AUC = 0.4  # on axes of AUCs: bars that reach lower are cut
MEMBER, DECOY = "#0072B2", "#D55E00"


@contextmanager
def theme() -> Iterator[None]:
    """Apply the settings for drawing and for saving within the block."""
    import matplotlib as mpl
    import seaborn as sns

    settings = {
        **sns.axes_style("ticks"),
        "font.family": "DejaVu Sans",  # ships with matplotlib, so that every machine draws the same
        "mathtext.fontset": "dejavusans",
        "font.size": 7,
        "axes.labelsize": 7,
        "axes.titlesize": 7,
        "legend.fontsize": 6,
        "legend.frameon": False,
        "legend.handlelength": 1.6,
        "xtick.labelsize": 6,
        "ytick.labelsize": 6,
        "axes.linewidth": 0.6,
        "lines.linewidth": 1.0,
        "lines.markersize": 4,
        "lines.solid_capstyle": "butt",
        "patch.linewidth": 0.6,
        "hatch.linewidth": 0.4,
        "figure.dpi": DPI,
        "savefig.bbox": None,
        "pdf.fonttype": 42,
        "ps.fonttype": 42,
        "svg.fonttype": "path",
        "svg.hashsalt": "leakfront",
        "text.usetex": False,
        "text.parse_math": False,  # names come from configs: a dollar sign is a dollar sign
        "path.simplify": True,
    }
    for axis in ("xtick", "ytick"):
        settings |= {
            f"{axis}.major.size": 2.5,
            f"{axis}.major.width": 0.6,
            f"{axis}.minor.size": 1.5,
            f"{axis}.minor.width": 0.4,
            f"{axis}.major.pad": 2.0,
        }
    with mpl.rc_context(settings):
        yield


def new_figure(height: float, width: float | None = None) -> Figure:
    """An empty figure with at least this room in inches, by default one column wide.

    It needs no display, and its layout cuts nothing off.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=current().size(height, width), layout="constrained")
    FigureCanvasAgg(figure)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02)  # type: ignore[union-attr,call-arg]
    return figure


@contextmanager
def laid_out(figure: Figure, dpi: float) -> Iterator[None]:
    """Lay a figure out once, at so many dots per inch; what is drawn within the block keeps this layout."""
    layout, before = figure.get_layout_engine(), figure.dpi
    figure.dpi = dpi
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    try:
        yield
    finally:
        figure.set_layout_engine(layout)
        figure.dpi = before


def despine(*axes: Axes) -> None:
    """Remove the top and the right border."""
    import seaborn as sns

    for ax in axes:
        sns.despine(ax=ax)


STEPS = tuple(m * 10.0**e for e in range(-6, 10) for m in (1, 2, 5))


def count_scale(ax: Axes, top: float, which: Literal["x", "y"] = "y", gap: float = 0.09) -> None:
    """Set a square-root axis for counts, on which 0, 5 and 500 are all legible, with a little room below 0."""
    import numpy as np

    top = max(top, 1.0) * 1.08
    top = next((1.02 * s for s in STEPS if top / 1.02 <= s <= 1.35 * top), top)
    bent = {"functions": (lambda y: np.sign(y) * np.sqrt(np.abs(y)), lambda z: np.sign(z) * z**2)}
    if which == "x":
        ax.set_xscale("function", **bent)
        ax.set_xlim(-top * 0.0075, top)
    else:
        ax.set_yscale("function", **bent)
        ax.set_ylim(-top * 0.0075, top)
    ticks(ax, which, [0.0, *(s for s in STEPS if s >= 1)], gap=gap)


def ticks(ax: Axes, which: Literal["x", "y"], candidates: Sequence[float] = STEPS, gap: float = 0.12) -> None:
    """Set ticks with plain numbers at those candidates that are at least `gap` of the axis apart, both ends first."""
    axis = ax.xaxis if which == "x" else ax.yaxis
    low, high = axis.get_view_interval()
    scale = axis.get_transform()
    start, end = (float(scale.transform([limit])[0]) for limit in (low, high))
    spots = {c: (float(scale.transform([c])[0]) - start) / (end - start) for c in candidates if low <= c <= high}
    shown: list[float] = []
    for tick in [*list(spots)[:1], *reversed(spots)]:
        if all(abs(spots[tick] - spots[other]) >= gap for other in shown):
            shown.append(tick)
    axis.set_ticks(sorted(shown), [f"{tick:,.0f}" if tick >= 1 else f"{tick:g}" for tick in sorted(shown)])
    axis.set_ticks([], minor=True)


@lru_cache(maxsize=4096)  # figures of one report show the same names
def width_of(text: str, size: float) -> float:
    """The width in points of a text of `size` points, in the type of the figures. Call it within `theme`."""
    from matplotlib.textpath import TextPath

    return float(TextPath((0, 0), text, size=size).get_extents().width)


def shortened(name: str, most: int = 22) -> str:
    """A name of at most so many characters; the middle of a longer one is left out."""
    name = name.replace("\n", " ")
    return name if len(name) <= most else f"{name[: most - most // 3 - 1]}…{name[-(most // 3) :]}"


def strength(params: str) -> str:
    """Parameters as a short label: the values alone, with Greek letters where the field uses them."""
    letters = {"epsilon": "ε=", "delta": "δ=", "sigma": "σ="}
    parts = [part.partition("=") for part in params.split(",")]
    return ", ".join(letters.get(name.strip(), "") + value if equals else name for name, equals, value in parts)


def column_name(point: Point) -> str:
    """The label of a row or column: a defense at a strength."""
    return f"{shortened(point.defense)} {shortened(strength(point.params))}".strip()


def logarithmic(low: float, high: float) -> Colour:
    """From pale at `low` (and below) to dark at `high`, evenly in the logarithm; lightness alone carries the value."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    palette = colormaps["Blues"]
    scale = LogNorm(low, high, clip=True)
    return lambda value: palette(float(scale(max(value, low))))


def diverging(middle: float, reach: float) -> Colour:
    """White at `middle`, red above and blue below, saturated at a distance of `reach`."""
    import seaborn as sns
    from matplotlib.colors import Normalize

    palette = sns.color_palette("vlag", as_cmap=True)
    scale = Normalize(middle - reach, middle + reach, clip=True)
    return lambda value: palette(float(scale(value)))
