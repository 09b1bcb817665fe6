"""Names at the right ends of lines, spread so that they do not overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.figures.drawing import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from leakfront.results.figures.drawing.looks import Look

_LEADER = {"arrowstyle": "-", "linewidth": 0.4, "shrinkA": 0, "shrinkB": 0, "relpos": (0, 0.5)}


def end_labels(ends: dict[Axes, dict[str, float]], x: float, looks: dict[str, Look]) -> None:
    """Name each line at its right end; names are spread so that none overlap, and thin lines lead to the line's end."""
    crowd = max(len(lines) for lines in ends.values())
    size, gap = (6.0, 7.2) if crowd <= 8 else (5.2, 6.0)
    texts = {
        (ax, name): ax.annotate(
            style.shortened(name),
            (x, y),
            xytext=(1.05, 0.5),
            textcoords="axes fraction",
            fontsize=size,
            va="center",
            color=looks[name].colour,
            annotation_clip=False,
            arrowprops={**_LEADER, "color": looks[name].colour},
        )
        for ax, lines in ends.items()
        for name, y in lines.items()
    }
    figure = next(iter(ends)).figure.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()  # fixes the room that the names take
    for ax, lines in ends.items():
        height = ax.get_window_extent().height / figure.dpi * 72
        along = ax.transData + ax.transAxes.inverted()
        at = {name: float(along.transform((x, y))[1]) * height for name, y in lines.items()}
        names = sorted(at, key=lambda name: at[name])
        for name, spot in zip(names, spread([at[name] for name in names], gap, height - 2), strict=True):
            texts[ax, name].xyann = (1.05, spot / height)


def spread(heights: list[float], gap: float, top: float) -> list[float]:
    """Heights at least `gap` apart, nearest (least squares) to the ascending ones given; in 0 … `top` if they fit."""
    groups: list[tuple[float, int]] = []  # (mean of height - rank * gap, size): pooled while neighbours are too close
    for rank, height in enumerate(heights):
        mean, size = height - rank * gap, 1
        while groups and groups[-1][0] > mean:
            before, count = groups.pop()
            mean, size = (mean * size + before * count) / (size + count), size + count
        groups.append((mean, size))
    highest = top - (len(heights) - 1) * gap
    level = [max(0.0, min(mean, highest)) for mean, size in groups for _ in range(size)]
    return [value + rank * gap for rank, value in enumerate(level)]
