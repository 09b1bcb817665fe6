"""How far the cost model, by which `--dry-run` estimates times, is off on runs that were made.

The model counts the forward passes of one image that training, sampling and attacks' queries take. One pass is taken
from the undefended trainings of the run itself, so that neither the machine nor what else it did matters: their time
over their passes. Each other number is the time that a part took (mean over splits) over the time that its passes would
take. At 2, a part took twice as long as was estimated.

Run: python -m benchmarks.cost_model RUN...    (folders with config.toml and results.csv, such as published/digits)
"""

from __future__ import annotations

import argparse
import statistics
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.workload import probing_work, sampling_work, training_work
from leakfront.harness.settings.sections import parse_config
from leakfront.results.run.rows import read_rows

SECONDS = {"training": "training_seconds", "sampling": "sampling_seconds", "queries": "probe_seconds"}


@dataclass(frozen=True)
class Found:
    """Of one run: (measured, estimated) seconds of each cell, by part, and the names of the cells' defenses."""

    run: str
    parts: dict[str, list[tuple[float, float]]]
    defenses: list[str]

    def ratios(self, part: str) -> list[float]:
        """Measured over estimated of each defense and strength, without the undefended trainings."""
        named: dict[str, list[float]] = {}
        for defense, (measured, estimated) in zip(self.defenses, self.parts[part], strict=True):
            if estimated and not (part == "training" and defense == "none"):
                named.setdefault(defense, []).append(measured / estimated)
        return [statistics.mean(ratios) for ratios in named.values()]

    @property
    def whole(self) -> float:
        """Measured over estimated, of all cells together."""
        pairs = [pair for part in self.parts.values() for pair in part]
        return sum(measured for measured, _ in pairs) / sum(estimated for _, estimated in pairs)


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    print(as_markdown([measure(run) for run in parser.parse_args().runs]))


def measure(run: Path) -> Found:
    """Read a run's config and rows."""
    settings = tomllib.loads((run / "config.toml").read_text())
    settings.pop("provenance", None)  # how the run was made, which is no setting
    plan, rows = make_plan(parse_config(settings)), read_rows(run / "results.csv")
    costs = rows[rows["metric"].isin(SECONDS.values())].set_index(["cell", "metric"])["value"]
    cells = [cell for cell in plan.cells if (cell.name, "training_seconds") in costs.index]
    if not any(cell.point.label == "none" for cell in cells):
        raise SystemExit(f"{run} has no training without a defense, which says how long a pass takes")
    sampling, queries = sampling_work(plan), probing_work(plan, plan.dataset.load().images.shape[1:])
    work = {
        cell.name: {"training": training_work(plan, cell), "sampling": sampling, "queries": queries} for cell in cells
    }
    undefended = [cell.name for cell in cells if cell.point.label == "none"]
    one = sum(costs[name, "training_seconds"] for name in undefended) / sum(work[n]["training"] for n in undefended)
    parts = {
        part: [(float(costs[cell.name, metric]), one * work[cell.name][part]) for cell in cells]
        for part, metric in SECONDS.items()
    }
    return Found(run.name, parts, [cell.point.label for cell in cells])


def as_markdown(found: Sequence[Found]) -> str:
    """A line for each run: the median over defenses and strengths, the lowest and the highest, and the whole."""
    lines = ["| run | training under defenses | sampling | queries | all |", "|---|---|---|---|---:|"]
    for one in found:
        cells = [spread(one.ratios(part)) for part in SECONDS]
        lines.append(f"| `{one.run}` | {' | '.join(cells)} | {one.whole:.2f} |")
    return "\n".join(lines)


def spread(ratios: Sequence[float]) -> str:
    """ "1.02 (0.95 to 1.10)"."""
    if not ratios:
        return "–"
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
