"""Run all simulations and write the table: python -m benchmarks.coverage [FILE], docs/coverage.md by default."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.coverage import RUNS, Measured, Simulation, simulations
from benchmarks.coverage.scores import DRAWS, N
from benchmarks.coverage.splits import DRAWS as DRAWS_OF_SPLITS

HEAD = f"""# How often the intervals hold the truth

`python -m benchmarks.coverage` writes this page, in minutes on one core. The slow tests (`make test-slow`) run the same
simulations and check the promises:

* "95%" must be measured between 93.5% and 96.5%. With {RUNS:,} runs, a true coverage of 95% fails this in 1 of 1,500
  experiments; a true 92% or 98% passes it in at most 1 of 300.
* "At least 95%" is the promise of intervals that are exact, or that are too wide for a reason which the code in the
  last column gives.

Without a number of runs, the rate is exact: the chances of all outcomes were summed. Width is the mean width, divided
by that of value ± 1.96 true standard deviations of the value. It is about 2 for t intervals over 3 splits, since 3
splits say little about the standard deviation. For speed, bootstrap intervals use {DRAWS} draws here
({DRAWS_OF_SPLITS} for the AUC and TPR over splits), not the 1,000 of a run. Sizes are those of the benchmarks on
digits: {N} members of a pool of {2 * N}, unless the conditions say otherwise.

"""
TITLES = ("interval of", "conditions", "promised", "runs", "coverage", "width", "made by")
CLAIMS = ("error", "conditions", "promised", "runs", "measured", "made by")


def main() -> None:
    """Run and write; print one line for each simulation."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("docs/coverage.md")
    path.parent.mkdir(exist_ok=True)
    found, waiting = [], simulations()
    while waiting:
        simulation = waiting.pop(0)
        found.append((simulation, simulation.measure()))
        print(f"{found[-1][1].rate:.3f}  {simulation}", flush=True)
        path.write_text(document(found, waiting))


def document(found: Sequence[tuple[Simulation, Measured]], waiting: Sequence[Simulation] = ()) -> str:
    """The page: a table of intervals, a table of the claims that rest on them, and a list of the missing rows."""
    intervals = [pair for pair in found if not pair[0].is_claim]
    claims = [pair for pair in found if pair[0].is_claim]
    of_intervals = _table(TITLES, [_line(s, m) for s, m in intervals])
    of_claims = _table(
        CLAIMS, [[x for i, x in enumerate(_line(s, m)) if i != TITLES.index("width")] for s, m in claims]
    )
    rest = "".join(f"* {simulation}\n" for simulation in waiting)
    unknown = f"\n## Not measured yet\n\n{rest}" if rest else ""
    return f"{HEAD}{of_intervals}\n## How often claims are wrong\n\n{of_claims}{unknown}"


def _line(simulation: Simulation, measured: Measured) -> list[str]:
    rate = f"{100 * measured.rate:.1f}%"
    runs = f"{measured.runs:,}" if measured.runs else ""
    width = "" if np.isnan(measured.width) else f"{measured.width:.2f}"
    words = simulation.promise.words
    return [simulation.interval, simulation.conditions, words, runs, rate, width, simulation.where]


def _table(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [titles, ["---"] * len(titles), *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    main()
