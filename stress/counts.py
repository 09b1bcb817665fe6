"""What a stress test tried and what went wrong."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Counts:
    """tried: what was tried and how often, by the words it is printed with ("configs fuzzed": 2000).

    failures: a sentence for each case that went wrong, with what it takes to repeat it. notes: lines printed below.
    """

    tried: dict[str, int]
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
