"""Direct labels that do not collide: each is tried around its point and put where it covers the least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.figures.drawing.scene import GRAIN, LEADER_FROM, SIDES, Place, Scene

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

_ORDERS = 16  # in which required labels are tried
_OPTIONAL = 3.0  # an optional label is left out where its place costs this much


@dataclass(frozen=True)
class Label:
    """A text next to any one of its anchors (data coordinates, best first).

    An optional label stands directly below, above or at the side of its point. Where it would cover something, it is
    left out together with all others of the same `group`.
    """

    text: str
    anchors: tuple[tuple[float, float], ...]
    colour: str
    size: float = 6.0
    optional: bool = False
    group: str = ""


def place(ax: Axes, labels: Sequence[Label], paths: Sequence[np.ndarray], settled: bool = False) -> None:
    """Write the labels on `ax`, clear of each other and of `paths` ([K, 2] data coordinates; one point or a line).

    Call it last: limits must be final, and so must the layout if `settled` is set. Labels are placed one after the
    other, in several orders, and the cheapest outcome is kept; the outcome depends on the arguments alone.
    """
    figure = ax.figure.get_figure(root=True)
    assert figure is not None
    if not settled:
        figure.draw_without_rendering()
    scale = GRAIN * 72 / figure.dpi  # from pixels to grains
    texts = [_write(ax, label) for label in labels]
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    extents = [text.get_window_extent(renderer) for text in texts]
    halves = [np.array([extent.width, extent.height]) / 2 * scale + 0.4 * GRAIN for extent in extents]
    anchors = [ax.transData.transform(np.array(label.anchors)) * scale for label in labels]
    frame = ax.get_window_extent()
    scene = Scene(np.array([frame.x0, frame.y0, frame.x1, frame.y1]) * scale)
    lines = [ax.transData.transform(np.asarray(path, dtype=float).reshape(-1, 2)) * scale for path in paths]
    spines = np.array([[frame.x0, frame.y1], [frame.x0, frame.y0], [frame.x1, frame.y0]]) * scale
    places = _arrange(scene, scene.picture([*lines, spines]), labels, anchors, halves)
    for index, text in enumerate(texts):
        found = places.get(index)
        if found is None:
            text.remove()
            continue
        text.xyann = tuple(((found.box[:2] + found.box[2:]) / 2 - anchors[index][0]) / GRAIN)
        if len(found.leader):
            line = ax.transData.inverted().transform(found.leader / scale)
            ax.plot(*line.T, color=labels[index].colour, linewidth=0.5, linestyle=(0, (1, 1)), zorder=2.5)


def _arrange(
    scene: Scene, drawn: np.ndarray, labels: Sequence[Label], anchors: list[np.ndarray], halves: list[np.ndarray]
) -> dict[int, Place]:
    """A place for each label that gets one, by its index. Optional labels have the least choice and go first."""
    fixed: dict[int, Place] = {}
    for index, label in enumerate(labels):
        if label.optional:
            fixed[index] = scene.best(drawn, list(fixed.values()), anchors[index], halves[index], SIDES)
            _drop(fixed, labels, index)
    rng = np.random.default_rng(0)
    required = np.array([i for i, label in enumerate(labels) if not label.optional], dtype=int)
    cheapest: tuple[float, dict[int, Place]] = (np.inf, fixed)
    for attempt in range(_ORDERS if len(required) > 1 else 1):
        places = dict(fixed)
        for index in required if attempt == 0 else rng.permutation(required):
            places[index] = scene.best(drawn, list(places.values()), anchors[index], halves[index])
        cost = sum(found.covers + found.distance for found in places.values())
        if cost < cheapest[0]:
            cheapest = (cost, places)
    return cheapest[1]


def _write(ax: Axes, label: Label) -> Annotation:
    from matplotlib.patheffects import withStroke

    text = ax.annotate(
        label.text,
        label.anchors[0],
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        color=label.colour,
        fontsize=label.size,
        annotation_clip=False,
        zorder=6,
    )
    text.set_in_layout(False)
    text.set_path_effects([withStroke(linewidth=1.2, foreground="white")])
    return text


def _drop(places: dict[int, Place], labels: Sequence[Label], index: int) -> None:
    """Remove an optional label that has no clear place near its point, and the rest of its group."""
    label, found = labels[index], places[index]
    siblings = [i for i, other in enumerate(labels[: index + 1]) if other.optional and other.group == label.group]
    incomplete = any(i not in places for i in siblings)
    if label.optional and (incomplete or found.covers >= _OPTIONAL or found.distance > LEADER_FROM):
        for i in siblings:
            places.pop(i, None)
