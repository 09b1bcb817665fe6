"""Alternatives timed in turn, so that a drift in the machine's speed hits all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from rich.console import Console
from rich.table import Table


def compare(
    title: str,
    contenders: Mapping[str, Callable[[], object]],
    rounds: int = 5,
    warmup: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Run every contender once in each round; print medians, and ratios to the first contender round by round.

    clock: `time.process_time` counts CPU seconds, which other work on the machine disturbs less; for one thread.
    """
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for round_number in range(warmup + rounds):
        for name, work in contenders.items():
            start = clock()
            work()
            if round_number >= warmup:
                times[name].append(clock() - start)
    base = times[next(iter(contenders))]
    table = Table(title=f"{title} ({rounds} rounds)", title_justify="left")
    for heading in ("", "median s", "ratio to the first: median", "min", "max"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, measured in times.items():
        ratios = [t / b for t, b in zip(measured, base, strict=True)]
        shown = (statistics.median(measured), statistics.median(ratios), min(ratios), max(ratios))
        table.add_row(name, *(f"{value:.3f}" for value in shown))
    Console(width=110).print(table)
