"""The command in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# for tests that look at rows alone: a report takes longer than the models of small runs
WITHOUT_REPORT = (
    "from leakfront.harness import report; report.draw_report = lambda runs, folder, **_: folder; "
    "from leakfront.cli import main; main()"
)


# for tests that look at a page: two of the three forms of a figure take most of a report's time
FIGURES_AS_SVG = "from tests.few_figures import as_svg; from leakfront.cli import main\nwith as_svg('tradeoff'): main()"


def leakfront(*arguments: str | Path, code: str) -> subprocess.CompletedProcess[str]:
    """`leakfront` with arguments. code: what runs it, of those above."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=500, check=False,
        cwd=Path(__file__).parents[1],
    )  # fmt: skip
