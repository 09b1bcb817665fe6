"""The progress of a run: a live display on a terminal, plain lines elsewhere, and log.jsonl."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from leakfront.documents import parse_json
from leakfront.harness.settings.scrubbed import Scrubber
from leakfront.harness.store.inside import without_links

PLAIN_SECONDS = 30.0
ALL_QUERIED = "all models sampled and queried"


def duration(seconds: float) -> str:
    """Seconds as readable text: 45 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole < 600 else f"{round(whole / 60)} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def busy_seconds(log: Path) -> float:
    """The working time of a run in seconds: from the start of each session to its last report of a worker, summed.

    log: the run's log.jsonl, with a resolution of one second. A session that found everything done adds nothing.
    Damaged lines are skipped.
    """
    total, start, last = 0.0, 0.0, 0.0
    for text in log.read_text(errors="replace").splitlines():
        try:
            line = parse_json(text)
            now = datetime.fromisoformat(line["time"]).timestamp()
        except (ValueError, KeyError, TypeError):
            continue
        if line.get("session") == "start":
            total, start, last = total + last - start, now, now
        elif "cell" in line:
            last = now
    return total + last - start


class _TimeLeft(ProgressColumn):
    """Shows the estimate in a task's field `left`."""

    def render(self, task: Task) -> Text:
        return Text(str(task.fields.get("left", "")), style="cyan")


class RunProgress:
    """Shows and logs the events of workers, with an estimate of the time left.

    work: for each cell without a finished model, the forward passes of each stage (see `plan/workload.py`).
    log: the file that events are appended to. scrubber: takes paths and names out of what goes there.
    """

    def __init__(
        self, work: Mapping[str, Mapping[str, float]], log: Path, console: Console, scrubber: Scrubber | None = None
    ) -> None:
        self._work = work
        self._log = log
        self._console = console
        self._scrubber = scrubber or Scrubber.of({}, log.parent)
        self._done: dict[tuple[str, str], float] = {}
        self._start = self._printed = time.monotonic()
        self._lock = threading.Lock()
        self._bars: dict[str, Any] = {}
        self._epsilon: dict[str, float] = {}  # spent at each cell's last checkpoint
        self._live: Progress | None = None
        if console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                _TimeLeft(),
            )
            self._live = Progress(*columns, console=console, transient=True)

    def __enter__(self) -> RunProgress:
        if self._log.is_file() and not self._log.read_bytes().endswith(b"\n"):
            with self._open() as file:
                file.write("\n")  # a line lost its end, for example on a full disk
        if self._live is not None and self._work:
            self._live.start()
            self._bars[""] = self._live.add_task(f"{len(self._work)} models", total=1.0)
        return self

    def __exit__(self, *details: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, message: str, **facts: Any) -> None:
        """Print and log a line; `facts` go to the log only."""
        with self._lock:
            self._write_log({"message": message, **facts})
        self._console.print(message, highlight=False, markup=False)

    def begins(self, stage: str) -> None:
        """Log that a stage of the whole run begins."""
        self.event({"begins": stage})

    def event(self, event: dict[str, Any]) -> None:
        """Show and log an event of a worker.

        {begins, cell, process}: a stage of a cell has begun. {cell, stage, done, total, numbers}: it has advanced.
        {message}: a line to print.
        """
        if "message" in event:
            return self.say(event["message"])
        with self._lock:
            if "begins" in event:
                return self._write_log(event)
            cell, stage = event["cell"], event["stage"]
            amount = self._work.get(cell, {}).get(stage, 0.0)
            self._done[cell, stage] = amount * event["done"] / max(1, event["total"])
            for earlier in list(takewhile(lambda name: name != stage, self._work.get(cell, {}))):
                self._done[cell, earlier] = self._work[cell][earlier]
            if event["numbers"] or event["done"] == event["total"]:
                self._write_log(event)
            if "epsilon" in event["numbers"]:
                self._epsilon[cell] = event["numbers"]["epsilon"]
            spent = f", epsilon spent {self._epsilon[cell]:.3g}" if cell in self._epsilon and stage == "train" else ""
            self._show(cell, f"{cell}: {stage} {event['done']}/{event['total']}{spent}")

    def finished(self, cell: str) -> None:
        """Report that a cell's model is trained, sampled and probed."""
        with self._lock:
            for stage, amount in self._work.get(cell, {}).items():
                self._done[cell, stage] = amount
            if self._live is not None and cell in self._bars:
                self._live.remove_task(self._bars.pop(cell))
        self.say(f"  {cell} done ({self._remaining()})")

    def _show(self, cell: str, text: str) -> None:
        if self._live is not None:
            if cell not in self._bars:
                self._bars[cell] = self._live.add_task(text, total=1.0)
            total = sum(self._work.get(cell, {}).values()) or 1.0
            done = sum(v for (name, _), v in self._done.items() if name == cell)
            self._live.update(self._bars[cell], description=text, completed=done / total)
            self._live.update(self._bars[""], completed=self._fraction(), left=self._remaining())
        elif time.monotonic() - self._printed > PLAIN_SECONDS:
            self._printed = time.monotonic()
            self._console.print(f"  {text} ({self._remaining()})", highlight=False, markup=False)

    def _fraction(self) -> float:
        total = sum(sum(stages.values()) for stages in self._work.values())
        return sum(self._done.values()) / total if total else 1.0

    def _remaining(self) -> str:
        fraction, elapsed = self._fraction(), time.monotonic() - self._start
        if fraction <= 0.01:
            return "estimating the time left"
        return f"about {duration(elapsed * (1 - fraction) / fraction)} left" if fraction < 1 else ALL_QUERIED

    def _write_log(self, facts: Mapping[str, Any]) -> None:
        line = json.dumps({"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **self._scrubber.all_in(facts)})
        with self._open() as file:
            file.write(line + "\n")

    def _open(self) -> TextIO:
        return open(self._log, "a", opener=without_links)
