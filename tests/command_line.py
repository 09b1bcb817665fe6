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


def leakfront(*arguments: str | Path, report: bool = True) -> subprocess.CompletedProcess[str]:
    """`leakfront` with arguments; without a report, `leakfront run` ends before it would draw one."""
    command = ["-m", "leakfront.cli"] if report else ["-c", WITHOUT_REPORT]
    return subprocess.run(
        [sys.executable, *command, *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )
