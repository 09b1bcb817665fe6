"""Direct labels that do not collide: each is tried around its point and put where it covers the least."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

_DISTANCES = np.array([4.0, 7.0, 10.0, 15.0, 21.0, 28.0, 36.0, 46.0, 58.0, 72.0])  # points (1/72 inch) from the anchor
_ANGLES = np.deg2rad([0, 180, 90, 270, 45, 135, 315, 225, 20, 160, 70, 110, 340, 200, 290, 250])
_SIDES = np.deg2rad([270, 90, 0, 180])  # below, above, right, left
_LEADER_FROM = 9.0  # a label further off gets a dotted line to its point
_MARKER = 2.6  # half of what a marker takes, in points
_GRAIN = 2.0  # places are compared on a picture of so many grains to a point
_ORDERS = 16
# What a place costs, in points of distance that a clear place may be further off
_COVER_LABEL, _CROSS_LABEL, _OUTSIDE, _COVER_AREA, _ALONG_LINE, _OPTIONAL = 1000.0, 300.0, 50.0, 15.0, 6.0, 3.0


@dataclass(frozen=True)
class Label:
    """A text beside any one of its anchors (data coordinates, best first).

    Optional labels stand right below, above or beside their point; where they would cover something they are left out,
    and with them all others of the same `group`.
    """

    text: str
    anchors: tuple[tuple[float, float], ...]
    colour: str
    size: float = 6.0
    optional: bool = False
    group: str = ""


class _Place(NamedTuple):
    covers: float
    distance: float  # points
    anchor: np.ndarray  # grains
    box: np.ndarray  # left, bottom, right, top in grains

    @property
    def leader(self) -> np.ndarray:
        """The line from the anchor to the box, [2, 2], or nothing, [0, 2]."""
        if self.distance <= _LEADER_FROM:
            return np.zeros((0, 2))
        return np.array([self.anchor, np.clip(self.anchor, self.box[:2], self.box[2:])])


def place(ax: Axes, labels: Sequence[Label], paths: Sequence[np.ndarray], settled: bool = False) -> None:
    """Write the labels on `ax`, clear of each other and of `paths` ([K, 2] data coordinates; one point or a line).

    Call it last: limits must be final, and the layout too if it is said to be `settled`. Labels are placed one after
    the other, in several orders, and the cheapest outcome is kept; it depends on nothing but the arguments.
    """
    figure = ax.figure.get_figure(root=True)
    assert figure is not None
    if not settled:
        figure.draw_without_rendering()
    scale = _GRAIN * 72 / figure.dpi  # from pixels to grains
    texts = [_write(ax, label) for label in labels]
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    extents = [text.get_window_extent(renderer) for text in texts]
    halves = [np.array([extent.width, extent.height]) / 2 * scale + 0.4 * _GRAIN for extent in extents]
    anchors = [ax.transData.transform(np.array(label.anchors)) * scale for label in labels]
    frame = ax.get_window_extent()
    scene = _Scene(np.array([frame.x0, frame.y0, frame.x1, frame.y1]) * scale)
    lines = [ax.transData.transform(np.asarray(path, dtype=float).reshape(-1, 2)) * scale for path in paths]
    spines = np.array([[frame.x0, frame.y1], [frame.x0, frame.y0], [frame.x1, frame.y0]]) * scale
    places = _arrange(scene, scene.picture([*lines, spines]), labels, anchors, halves)
    for index, text in enumerate(texts):
        found = places.get(index)
        if found is None:
            text.remove()
            continue
        text.xyann = tuple(((found.box[:2] + found.box[2:]) / 2 - anchors[index][0]) / _GRAIN)
        if len(found.leader):
            line = ax.transData.inverted().transform(found.leader / scale)
            ax.plot(*line.T, color=labels[index].colour, linewidth=0.5, linestyle=(0, (1, 1)), zorder=2.5)


def _arrange(
    scene: _Scene, drawn: np.ndarray, labels: Sequence[Label], anchors: list[np.ndarray], halves: list[np.ndarray]
) -> dict[int, _Place]:
    """A place for each label that gets one, by its index: optional ones, which have little choice, go first."""
    fixed: dict[int, _Place] = {}
    for index, label in enumerate(labels):
        if label.optional:
            fixed[index] = scene.best(drawn, list(fixed.values()), anchors[index], halves[index], _SIDES)
            _drop(fixed, labels, index)
    rng = np.random.default_rng(0)
    required = np.array([i for i, label in enumerate(labels) if not label.optional], dtype=int)
    cheapest: tuple[float, dict[int, _Place]] = (np.inf, fixed)
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


def _drop(places: dict[int, _Place], labels: Sequence[Label], index: int) -> None:
    """Take back an optional label that has no clear place near its point, and the rest of its group."""
    label, found = labels[index], places[index]
    siblings = [i for i, other in enumerate(labels[: index + 1]) if other.optional and other.group == label.group]
    incomplete = any(i not in places for i in siblings)
    if label.optional and (incomplete or found.covers >= _OPTIONAL or found.distance > _LEADER_FROM):
        for i in siblings:
            places.pop(i, None)


class _Scene:
    """The axes as a picture: what a label at some place would cover."""

    def __init__(self, inside: np.ndarray) -> None:
        """inside: left, bottom, right, top of the axes in grains."""
        self._inside = inside
        self._shape = (int(inside[3] - inside[1]) + 2, int(inside[2] - inside[0]) + 2)

    def picture(self, lines: Iterable[np.ndarray], on: np.ndarray | None = None) -> np.ndarray:
        """Polylines [K, 2] in grains (one point: a marker) drawn as bool [height, width], on a copy of `on`."""
        drawn = np.zeros(self._shape, dtype=bool) if on is None else on.copy()
        for line in lines:
            line = line[np.isfinite(line).all(axis=1)]
            if not len(line):
                continue
            reach = round(_MARKER * _GRAIN) if len(line) == 1 else 0
            for x, y in np.round(_along(line) - self._inside[:2]).astype(int):
                if x + reach >= 0 and y + reach >= 0:
                    drawn[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = True
        return drawn

    def best(
        self,
        drawn: np.ndarray,
        others: Sequence[_Place],
        anchors: np.ndarray,
        half: np.ndarray,
        angles: np.ndarray = _ANGLES,
    ) -> _Place:
        """The cheapest place for a box of the given half size around one of the anchors."""
        drawn = self.picture([other.leader for other in others], on=drawn)
        taken = np.array([other.box for other in others]).reshape(-1, 4)
        number, ring, side = (
            grid.ravel()
            for grid in np.meshgrid(
                np.arange(len(anchors)), np.arange(len(_DISTANCES)), np.arange(len(angles)), indexing="ij"
            )
        )
        direction = np.stack([np.cos(angles[side]), np.sin(angles[side])], axis=1)
        # from the anchor to the box's edge it is the distance, whatever the direction
        edge = (half / np.maximum(np.abs(direction), 1e-6)).min(axis=1)
        centre = anchors[number] + direction * (_DISTANCES[ring] * _GRAIN + edge)[:, None]
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        covers = self._covered(drawn, taken, boxes)
        fixed = _DISTANCES[ring] + 2.0 * number + 0.05 * side
        cheapest: tuple[float, _Place] | None = None
        for i in np.argsort(covers + fixed, kind="stable"):
            if cheapest is not None and covers[i] + fixed[i] >= cheapest[0]:
                break
            found = _Place(float(covers[i]), float(_DISTANCES[ring[i]]), anchors[number[i]], boxes[i])
            found = found._replace(covers=found.covers + self._crossed(drawn, taken, found.leader))
            if cheapest is None or found.covers + fixed[i] < cheapest[0]:
                cheapest = (found.covers + float(fixed[i]), found)
        assert cheapest is not None
        return cheapest[1]

    def _covered(self, drawn: np.ndarray, taken: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """What boxes [N, 4] cost, by the labels [K, 4] and the drawn area they cover and by what sticks out."""
        sums = np.pad(drawn.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0)))
        corner = np.tile(self._inside[:2], 2)
        left, bottom, right, top = np.clip((boxes - corner).astype(int), 0, np.tile(self._shape[::-1], 2)).T
        area = sums[top, right] - sums[bottom, right] - sums[top, left] + sums[bottom, left]
        clash = ((taken[None, :, :2] < boxes[:, None, 2:]) & (taken[None, :, 2:] > boxes[:, None, :2])).all(axis=2)
        out = np.maximum(self._inside[:2] - boxes[:, :2], 0) + np.maximum(boxes[:, 2:] - self._inside[2:], 0)
        cost: np.ndarray = (
            _COVER_LABEL * clash.sum(axis=1) + _COVER_AREA * area / _GRAIN**2 + _OUTSIDE * out.sum(axis=1) / _GRAIN
        )
        return cost

    def _crossed(self, drawn: np.ndarray, taken: np.ndarray, leader: np.ndarray) -> float:
        """What a leader costs, by the labels it runs through and by how much of it lies on what is drawn."""
        if not len(leader):
            return 0.0
        path = _along(leader)
        through = ((path[:, None] > taken[:, :2]) & (path[:, None] < taken[:, 2:])).all(axis=2).any()
        path = path[np.hypot(*(path - leader[0]).T) > (_MARKER + 1) * _GRAIN]
        x, y = np.round(path - self._inside[:2]).astype(int).T
        seen = (x >= 0) & (y >= 0) & (x < self._shape[1]) & (y < self._shape[0])
        return float(_CROSS_LABEL * through + _ALONG_LINE * drawn[y[seen], x[seen]].sum() / _GRAIN)


def _along(line: np.ndarray) -> np.ndarray:
    """Points on a polyline [K, 2], a grain apart."""
    pieces = [line]
    for start, end in pairwise(line):
        steps = min(int(np.hypot(*(end - start))), 5000)
        pieces.append(start + (end - start) * np.linspace(0, 1, steps + 2)[1:-1, None])
    return np.concatenate(pieces)
