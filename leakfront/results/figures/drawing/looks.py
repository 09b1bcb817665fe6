"""Colour, marker and dashes of each line of a plot, so that colour-blind readers and grey prints tell them apart."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leakfront.results.run.summary import Summary

BLACK = "#000000"
# Okabe and Ito's palette without its yellow, which is unreadable on white. Black is for undefended models.
_COLOURS = ("#0072B2", "#009E73", "#CC79A7", "#D55E00", "#E69F00", "#56B4E9", "#7A5C3E")
_MARKERS = ("s", "D", "v", "^", "P", "X", "<", "h", ">", "p", "d", "*", "o")
_BLACK_MARKERS = ("o", "s", "^", "D", "v")
_DASHES = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)))


@dataclass(frozen=True)
class Look:
    """How one line of a plot and its markers are drawn."""

    colour: str
    marker: str
    dashes: Any
    hollow: bool

    @property
    def face(self) -> str:
        """The colour inside a marker."""
        return "white" if self.hollow else self.colour


def look(slot: int) -> Look:
    """The look number `slot`, from 0: seven colours in turn, filled then hollow, with 13 markers; 91 are different."""
    turn = slot // len(_COLOURS)
    marker = _MARKERS[slot % len(_MARKERS)]
    return Look(_COLOURS[slot % len(_COLOURS)], marker, _DASHES[turn % 3], turn % 2 == 1)


def looks_of(summary: Summary) -> dict[str, Look]:
    """The look of each line of a run, the same in all of its figures."""
    return in_order(summary.defenses, {point.defense for point in summary.baselines})


def in_order(lines: Sequence[str], undefended: Collection[str] = ()) -> dict[str, Look]:
    """A look for each line, by its place in `lines`; undefended models are black.

    A line that is added at the end leaves the looks of the others as they are.
    """
    found: dict[str, Look] = {}
    black = colours = 0
    for line in dict.fromkeys(lines):
        if line in undefended:
            hollow = black // len(_BLACK_MARKERS) % 2 == 1
            found[line] = Look(BLACK, _BLACK_MARKERS[black % len(_BLACK_MARKERS)], "-", hollow)
            black += 1
        else:
            found[line] = look(colours)
            colours += 1
    return found
