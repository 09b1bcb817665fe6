"""The run that the stress tests disturb: small, real in every part, and reproducible to the byte."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count, pairwise
from pathlib import Path
from typing import Any

from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.settings.file import load_config
from leakfront.harness.stages import BY_NAME, POOL, STAGES
from leakfront.harness.store.artifacts import stored_key
from leakfront.harness.store.integrity import verify
from leakfront.harness.store.layout import Layout

UNDISTURBED = "LEAKFRONT_STRESS_UNDISTURBED"  # passes the undisturbed run's folder to processes of a stress test
# the console script, as users start it: under "python -m", an interrupt in code compiled from a string ends Python by
# the signal, whatever the exit code (CPython's unhandled_keyboard_interrupt)
LEAKFRONT = str(Path(sys.executable).with_name("leakfront"))
_numbers = count()  # for the files of what runs print
# two defenses on two splits, each the shadow of the other; a checkpoint after nearly every step
CONFIG = """
name = "stressed"
privacy_seed = 1
splits = 2
data = { pool = 96, reference = 200, duplicates = { groups = 8, copies = 4 } }
model = { name = "unet", channels = [8, 8], head_channels = 8 }
training = { steps = 30, batch_size = 16, checkpoint_seconds = 0.02 }
sampling = { images = 80, steps = 3 }
statistics = { audit_guesses = 20 }
attacks = { extraction = { neighbours = 10 }, loss = { timesteps = [50, 100], draws = 2 } }
defenses = [{ name = "none" }, { name = "dp_sgd", steps = 6 }]
"""


@cache
def workplace() -> Path:
    """A temporary folder of this process, with the benchmark's config in it."""
    workplace.held = tempfile.TemporaryDirectory(prefix="leakfront-stress-")  # type: ignore[attr-defined]
    folder = Path(workplace.held.name)  # type: ignore[attr-defined]
    (folder / "stressed.toml").write_text(CONFIG)
    return folder


@cache
def plan() -> Plan:
    """The benchmark's plan."""
    return make_plan(load_config(str(workplace() / "stressed.toml")))


@cache
def stages() -> tuple[str, ...]:
    """The stages that a run announces in its log; "start" lasts until the first of them begins."""
    return ("start", *(s.name for s in STAGES if s is not POOL and s.needed(plan())), "results", "report")


def command(folder: Path, *more: str) -> list[str]:
    """The command that runs the benchmark in a folder."""
    config = str(workplace() / "stressed.toml")
    return [LEAKFRONT, "run", config, "--out", str(folder), "--workers", "2", *more]


def leakfront(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command line, to its end."""
    return subprocess.run([LEAKFRONT, *map(str, arguments)], capture_output=True, text=True, check=False)


def finish(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the benchmark in a folder, to its end."""
    return subprocess.run(command(folder), capture_output=True, text=True, check=False)


class Running:
    """A running benchmark, in a session of its own and observed through its log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._log = Layout(folder).log
        self._from = self._log.stat().st_size if self._log.exists() else 0
        name = workplace() / f"said-{next(_numbers)}"
        self._out, self._err = Path(f"{name}.out"), Path(f"{name}.err")
        with self._out.open("w") as out, self._err.open("w") as err:
            self.process = subprocess.Popen(
                command(folder), stdout=out, stderr=err, start_new_session=True, preexec_fn=_hear_interrupts
            )

    def begun(self) -> list[dict[str, Any]]:
        """The stages that this process announced: {begins}, and {cell, process} for a stage of a cell."""
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            file.seek(self._from)
            lines = [line for line in file.read().split(b"\n")[:-1] if b'"begins"' in line]
        return [json.loads(line) for line in lines]

    def wait_for(self, *stages: str, times: int = 1, cell: str | None = None) -> dict[str, Any] | None:
        """Wait until these stages, of any or this cell, have begun `times` times; None if the run ends before."""
        while self.process.poll() is None:
            if "start" in stages and self._is_at_work():
                return {"begins": "start"}
            found = [event for event in self.begun() if event["begins"] in stages]
            found = [event for event in found if cell in (None, event.get("cell"))]
            if len(found) >= times:
                return found[times - 1]
            time.sleep(0.01)
        return None

    def _is_at_work(self) -> bool:
        """Whether the command line has started; before that, Python handles a signal in its own way."""
        try:
            return "pydantic" in Path(f"/proc/{self.process.pid}/maps").read_text()  # which checks the config
        except OSError:
            return False

    @property
    def is_done(self) -> bool:
        """Whether all work was done, even if the process was stopped while it ended."""
        return self.process.returncode == 0 or "\ndone in " in self.said()[0]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Stop all processes of the run for the duration of the block."""
        os.killpg(self.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(self.process.pid, signal.SIGCONT)

    def under_way(self) -> list[str]:
        """The stages that have begun and whose artifact does not exist yet."""
        begun = self.begun()
        if not begun:
            return ["start"]
        latest = {event.get("cell", ""): event["begins"] for event in begun}
        layout, unfinished = Layout(self.folder), []
        for cell, stage in latest.items():
            if stage in ("results", "report"):
                return [stage]
            planned = plan().by_name.get(cell)
            key = planned.keys.get(stage, "") if planned is not None else ""
            if stage == "attack" or stored_key(BY_NAME[stage].folder(layout, key, planned)) is None:
                unfinished.append(stage)
        return unfinished

    def said(self) -> tuple[str, str]:
        """Standard output and standard error so far."""
        return self._out.read_text(), self._err.read_text()


@dataclass(frozen=True)
class Undisturbed:
    """An undisturbed run: its folder, and for each stage the longest time until the next stage began, in seconds.

    The stages are in the order in which they began for the first time.
    """

    folder: Path
    seconds: dict[str, float]


@cache
def undisturbed() -> Undisturbed:
    """The run that others are compared with: made once, or the one that the environment names."""
    if UNDISTURBED in os.environ:
        return Undisturbed(Path(os.environ[UNDISTURBED]), dict.fromkeys(stages(), 1.0))
    run = Running(workplace() / "undisturbed")
    times = [("start", time.monotonic())]
    while run.process.poll() is None:
        begun = [event["begins"] for event in run.begun()]
        times += [(stage, time.monotonic()) for stage in begun[len(times) - 1 :]]
        time.sleep(0.01)
    if run.process.returncode != 0:
        raise RuntimeError(f"the undisturbed run failed:\n{run.said()[1]}")
    times.append(("", time.monotonic()))
    seconds: dict[str, float] = {}
    for (stage, start), (_, end) in pairwise(times):
        seconds[stage] = max(seconds.get(stage, 0), end - start)
    if seconds.keys() != set(stages()):
        raise RuntimeError(f"the undisturbed run announced {', '.join(seconds)}, and not {', '.join(stages())}")
    return Undisturbed(run.folder, seconds)


def differences(folder: Path) -> list[str]:
    """The differences of a finished run from the undisturbed one, byte for byte, costs excepted."""
    expected = undisturbed().folder
    found = [] if _rows(folder) == _rows(expected) else ["other rows"]
    for pattern in ("**/*.safetensors", "**/rows.json"):
        for path in sorted(expected.glob(pattern)):
            name = path.relative_to(expected)
            same = (folder / name).is_file() and _content(folder / name) == _content(path)
            found += [] if same else [f"another {name}"]
    layout = Layout(folder)
    found += [f"{fault.artifact}: {fault.what}" for fault in verify(layout, layout.cells, layout.models)[1]]
    return found + [f"{path.name} is left over" for path in folder.rglob(".*") if path.name != ".lock"]


def orphans(session: int) -> list[int]:
    """The processes of a run's session that are still there after 10 seconds."""
    for _ in range(100):
        left = [pid for pid in _processes() if _session(pid) == session]
        if not left:
            return []
        time.sleep(0.1)
    return left


def _hear_interrupts() -> None:
    """Let Ctrl-C through; a shell makes its background jobs ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _rows(folder: Path) -> list[str]:
    return [line for line in (folder / "results.csv").read_text().splitlines() if ",cost," not in line]


def _content(path: Path) -> Any:
    if path.suffix != ".json":
        return path.read_bytes()
    return [row for row in json.loads(path.read_text()) if row["kind"] != "cost"]


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _session(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return -1
    return -1 if fields[0] == "Z" else os.getsid(pid) if Path(f"/proc/{pid}").exists() else -1
