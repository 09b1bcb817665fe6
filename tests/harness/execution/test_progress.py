"""Facts that are read from the log of a run."""

from __future__ import annotations

import json
from pathlib import Path

from leakfront.harness.execution.progress import busy_seconds


def test_wall_time_counts_the_work_of_every_session_and_no_pause(tmp_path: Path) -> None:
    lines = [
        {"time": "2026-01-01T10:00:00+0000", "message": "started", "session": "start"},
        {"time": "2026-01-01T10:01:00+0000", "cell": "a", "stage": "train"},
        {"time": "2026-01-01T10:05:00+0000", "message": "a failed"},  # not the report of a worker
        {"time": "2026-01-01T12:00:00+0000", "message": "started", "session": "start"},
        {"time": "2026-01-01T12:00:30+0000", "cell": "a", "stage": "train"},
        {"time": "2026-01-01T13:00:45+0100", "cell": "a", "stage": "probe"},  # 15 s later, in another time zone
        {"time": "2026-01-01T14:00:00+0000", "message": "all was done", "session": "start"},
    ]
    log = tmp_path / "log.jsonl"
    log.write_text("\n".join(map(json.dumps, lines)) + '\n{"time": "2026-01-')
    assert busy_seconds(log) == 60 + 45
