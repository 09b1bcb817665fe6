"""The two themes: one column of a paper, and a slide of a talk.

In both a figure is drawn in the sizes of a paper (type of 5 to 7 points, lines of 0.6). A talk gives it little room, in
the shape of a slide, and saves it as large as a slide, type and lines with it: at 13 inches the type then has 15 to 24
points, and less only where a figure shows so much that it needs more room.
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
    """Inches, at which figures are drawn: `width` the least; `broad`, from which they are shown in full width; `page`,
    as far as tables may grow. aspect: width / height of every figure, None: as high as it needs. across: inches that a
    saved figure is wide, None: as drawn."""

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
        """Width and height of a figure that needs so much room."""
        width = self.width if width is None else width
        if self.aspect is None:
            return width, height
        width = max(width, height * self.aspect)
        return width, width / self.aspect

    def columns(self, count: int, row: float, column: float, frame: float) -> int:
        """In how many columns so many rows take the least room: one where a figure may be as high as it needs.

        row, column, frame: inches; the frame is what stands above and below.
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
_IN_FORCE: ContextVar[Theme] = ContextVar("theme", default=PAPER)  # a figure's `draw` is told of nothing but the run


def current() -> Theme:
    """The theme in force."""
    return _IN_FORCE.get()


@contextmanager
def use(name: str) -> Iterator[None]:
    """Draw and save in a theme within the block. Raises `InputError` for one that there is not."""
    if name not in THEMES:
        raise InputError(f"there is no theme {name!r}; there are {', '.join(THEMES)}")
    before = _IN_FORCE.set(THEMES[name])
    try:
        yield
    finally:
        _IN_FORCE.reset(before)
