"""The two themes: one column of a paper, and a slide of a talk.

Both draw a figure in the sizes of a paper (type of 5 to 7 points, lines of 0.6). A talk gives it little room in the
shape of a slide and enlarges all of it, type and lines too, when it is saved. At 13 inches, type has 15 to 24 points,
or less if a figure shows so much that it needs more room.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from leakfront.errors import InputError


@dataclass(frozen=True)
class Theme:
    """The sizes of figures, in inches.

    width: the least width. broad: wider figures span the report's page. page: the most width that tables may take.
    aspect: width / height of every figure; None: as high as it needs. across: width of a saved figure; None: as drawn.
    """

    name: str
    width: float
    broad: float
    page: float
    aspect: float | None = None
    across: float | None = None

    @property
    def slide(self) -> bool:
        """Whether figures are wider than high, so that panels stand side by side."""
        return self.aspect is not None

    def size(self, height: float, width: float | None = None) -> tuple[float, float]:
        """Width and height of a figure that needs at least this room."""
        width = self.width if width is None else width
        if self.aspect is None:
            return width, height
        width = max(width, height * self.aspect)
        return width, width / self.aspect

    def columns(self, count: int, row: float, column: float, frame: float) -> int:
        """The number of columns in which so many rows take the least room: one if a figure may be as high as it needs.

        row, column, frame: inches; the frame is the room above and below the rows.
        """
        if self.aspect is None:
            return 1
        sizes = {n: self.size(frame + row * math.ceil(count / n), n * column)[0] for n in range(1, count + 1)}
        return min(sizes, key=lambda n: max(sizes[n], self.width))

    def enlarged(self, width: float) -> float:
        """The factor by which a figure is enlarged when it is saved."""
        return 1.0 if self.across is None else self.across / width


PAPER = Theme("paper", 3.35, 3.35, 2.1 * 3.35)
TALK = Theme("talk", 3.35, 5.2, 7.0, 16 / 9, 13 + 1 / 3)
THEMES = {theme.name: theme for theme in (PAPER, TALK)}
_IN_FORCE: ContextVar[Theme] = ContextVar("theme", default=PAPER)  # a figure's `draw` takes the run alone


def current() -> Theme:
    """The theme in force."""
    return _IN_FORCE.get()


@contextmanager
def use(name: str) -> Iterator[None]:
    """Draw and save in a theme within the block. Raises `InputError` for an unknown name."""
    if name not in THEMES:
        raise InputError(f"there is no theme {name!r}; there are {', '.join(THEMES)}")
    before = _IN_FORCE.set(THEMES[name])
    try:
        yield
    finally:
        _IN_FORCE.reset(before)
