"""A defense at a strength."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """A defense at a strength: one row of the table, one point of a line on a plot."""

    defense: str
    params: str

    @property
    def label(self) -> str:
        """The defense with its strength: "dp_sgd (epsilon=10)"."""
        return f"{self.defense} ({self.params})" if self.params else self.defense
