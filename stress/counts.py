"""The cases that a stress test tried, and its failures."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Counts:
    """The outcome of one kind of fault.

    tried: the number of cases by what they are, as printed ("configs fuzzed": 2000). failures: a sentence for each case
    that went wrong, with all that is needed to repeat it. notes: lines printed below.
    """

    tried: dict[str, int]
    failures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
