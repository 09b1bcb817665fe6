"""The axes as a picture, to find where a label covers the least."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

GRAIN = 2.0  # places are compared on a picture with this many grains to a point (1/72 inch)
LEADER_FROM = 9.0  # points from which a label gets a dotted line to its anchor
_DISTANCES = np.array([4.0, 7.0, 10.0, 15.0, 21.0, 28.0, 36.0, 46.0, 58.0, 72.0])  # points from the anchor
ANYWHERE = np.deg2rad([0, 180, 90, 270, 45, 135, 315, 225, 20, 160, 70, 110, 340, 200, 290, 250])
SIDES = np.deg2rad([270, 90, 0, 180])  # below, above, right, left
_MARKER = 2.6  # half of a marker's width, in points
# Cost of a place, in points of distance that a clear place may be further off
_COVER_LABEL, _CROSS_LABEL, _OUTSIDE, _COVER_AREA, _ALONG_LINE = 1000.0, 300.0, 50.0, 15.0, 6.0


class Place(NamedTuple):
    """A place for a label."""

    covers: float  # the cost of all that it covers
    distance: float  # points
    anchor: np.ndarray  # grains
    box: np.ndarray  # left, bottom, right, top in grains

    @property
    def leader(self) -> np.ndarray:
        """The line from the anchor to the box, [2, 2], or nothing, [0, 2]."""
        if self.distance <= LEADER_FROM:
            return np.zeros((0, 2))
        return np.array([self.anchor, np.clip(self.anchor, self.box[:2], self.box[2:])])


class Scene:
    """The axes as a picture, and the cost of a label at any place in it."""

    def __init__(self, inside: np.ndarray) -> None:
        """inside: left, bottom, right, top of the axes in grains."""
        self._inside = inside
        self._shape = (int(inside[3] - inside[1]) + 2, int(inside[2] - inside[0]) + 2)
        self._summed: tuple[np.ndarray, np.ndarray] | None = None  # the latest picture, and its sums

    def picture(self, lines: Iterable[np.ndarray], on: np.ndarray | None = None) -> np.ndarray:
        """Polylines [K, 2] in grains (one point: a marker) drawn as bool [height, width], on a copy of `on`."""
        drawn = np.zeros(self._shape, dtype=bool) if on is None else on.copy()
        for line in lines:
            line = line[np.isfinite(line).all(axis=1)]
            if not len(line):
                continue
            reach = round(_MARKER * GRAIN) if len(line) == 1 else 0
            for x, y in np.round(_along(line) - self._inside[:2]).astype(int):
                if x + reach >= 0 and y + reach >= 0:
                    drawn[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = True
        return drawn

    def best(
        self,
        drawn: np.ndarray,
        others: Sequence[Place],
        anchors: np.ndarray,
        half: np.ndarray,
        angles: np.ndarray = ANYWHERE,
    ) -> Place:
        """The cheapest place for a box of the given half size around one of the anchors."""
        leaders = [other.leader for other in others if len(other.leader)]
        whole = self.picture(leaders, on=drawn) if leaders else drawn
        taken = np.array([other.box for other in others]).reshape(-1, 4)
        number, ring, side = (
            grid.ravel()
            for grid in np.meshgrid(
                np.arange(len(anchors)), np.arange(len(_DISTANCES)), np.arange(len(angles)), indexing="ij"
            )
        )
        direction = np.stack([np.cos(angles[side]), np.sin(angles[side])], axis=1)
        # the distance is from the anchor to the edge of the box, in every direction
        edge = (half / np.maximum(np.abs(direction), 1e-6)).min(axis=1)
        centre = anchors[number] + direction * (_DISTANCES[ring] * GRAIN + edge)[:, None]
        boxes = np.concatenate([centre - half, centre + half], axis=1)
        covers = self._covered(drawn, whole, taken, boxes)
        fixed = _DISTANCES[ring] + 2.0 * number + 0.05 * side
        cheapest: tuple[float, Place] | None = None
        for i in np.argsort(covers + fixed, kind="stable"):
            if cheapest is not None and covers[i] + fixed[i] >= cheapest[0]:
                break
            found = Place(float(covers[i]), float(_DISTANCES[ring[i]]), anchors[number[i]], boxes[i])
            found = found._replace(covers=found.covers + self._crossed(whole, taken, found.leader))
            if cheapest is None or found.covers + fixed[i] < cheapest[0]:
                cheapest = (found.covers + float(fixed[i]), found)
        assert cheapest is not None
        return cheapest[1]

    def _covered(self, drawn: np.ndarray, whole: np.ndarray, taken: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """The cost of boxes [N, 4]: labels [K, 4] and drawn area that they cover, and how far they stick out.

        The area is that of `whole`, which is `drawn` with a few leaders.
        """
        sums = self._sums(drawn)
        corner = np.tile(self._inside[:2], 2)
        left, bottom, right, top = np.clip((boxes - corner).astype(int), 0, np.tile(self._shape[::-1], 2)).T
        area = sums[top, right] - sums[bottom, right] - sums[top, left] + sums[bottom, left]
        if whole is not drawn:
            y, x = (grain[:, None] for grain in np.nonzero(whole & ~drawn))
            area = area + ((y >= bottom) & (y < top) & (x >= left) & (x < right)).sum(axis=0)
        clash = ((taken[None, :, :2] < boxes[:, None, 2:]) & (taken[None, :, 2:] > boxes[:, None, :2])).all(axis=2)
        out = np.maximum(self._inside[:2] - boxes[:, :2], 0) + np.maximum(boxes[:, 2:] - self._inside[2:], 0)
        cost: np.ndarray = (
            _COVER_LABEL * clash.sum(axis=1) + _COVER_AREA * area / GRAIN**2 + _OUTSIDE * out.sum(axis=1) / GRAIN
        )
        return cost

    def _sums(self, drawn: np.ndarray) -> np.ndarray:
        """How much is drawn below and left of each grain. Many labels are tried on one picture, so it is kept."""
        if self._summed is None or self._summed[0] is not drawn:
            sums = np.pad(drawn.cumsum(axis=0, dtype=np.int64).cumsum(axis=1), ((1, 0), (1, 0)))
            self._summed = drawn, sums
        return self._summed[1]

    def _crossed(self, drawn: np.ndarray, taken: np.ndarray, leader: np.ndarray) -> float:
        """The cost of a leader: labels that it runs through, and its length on what is drawn."""
        if not len(leader):
            return 0.0
        path = _along(leader)
        through = ((path[:, None] > taken[:, :2]) & (path[:, None] < taken[:, 2:])).all(axis=2).any()
        path = path[np.hypot(*(path - leader[0]).T) > (_MARKER + 1) * GRAIN]
        x, y = np.round(path - self._inside[:2]).astype(int).T
        seen = (x >= 0) & (y >= 0) & (x < self._shape[1]) & (y < self._shape[0])
        return float(_CROSS_LABEL * through + _ALONG_LINE * drawn[y[seen], x[seen]].sum() / GRAIN)


def _along(line: np.ndarray) -> np.ndarray:
    """Points on a polyline [K, 2], a grain apart."""
    pieces = [line]
    for start, end in pairwise(line):
        steps = min(int(np.hypot(*(end - start))), 5000)
        pieces.append(start + (end - start) * np.linspace(0, 1, steps + 2)[1:-1, None])
    return np.concatenate(pieces)
