"""Calls of the command line under limits of time and memory, and what must not happen then."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from click.testing import CliRunner, Result

from leakfront.cli import main
from leakfront.errors import LONGEST

SECONDS = 20  # of CPU time; a plan of the smoke benchmarks takes 0.1 to 0.5 s
MIB = 1024  # of address space beyond what the process has when a case begins


class OutOfTimeError(BaseException):
    """A case that ran too long; no `except Exception` of the code under test may swallow it."""


@contextmanager
def contained(seconds: int = SECONDS, mib: int = MIB) -> Iterator[None]:
    """Raise `OutOfTimeError` after `seconds` of CPU time or ten times as many of real time; let allocations beyond
    `mib` MiB fail (Linux)."""
    import resource

    def stop(number: int, frame: FrameType | None) -> None:
        raise OutOfTimeError(f"still running after {seconds} s")

    timers = {signal.ITIMER_PROF: (signal.SIGPROF, seconds), signal.ITIMER_REAL: (signal.SIGALRM, 10 * seconds)}
    before = {number: signal.signal(number, stop) for number, _ in timers.values()}
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + mib * 2**20, hard))
    for timer, (_, limit) in timers.items():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer in timers:
            signal.setitimer(timer, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def attempt(arguments: Sequence[str], names: Sequence[str] = ()) -> tuple[str, Result | None]:
    """What is wrong with the command line's answer to `arguments`, and its result.

    Nothing is wrong (an empty text) if it plans the run, or refuses it in a sentence for each fault. names: at least
    one of them must be in one of these.
    """
    start = time.process_time()
    try:
        with contained():
            result = CliRunner().invoke(main, list(arguments))
    except OutOfTimeError as error:
        return str(error), None
    if time.process_time() - start > SECONDS:  # the signal was lost on the way
        return f"took more than {SECONDS} s", result
    return fault(result, names), result


def fault(result: Result, names: Sequence[str] = ()) -> str:
    """What is wrong with a command's result; empty if nothing is."""
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        cause = result.exception
        trace = cause.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
        return f"{type(cause).__name__} at {where}: {str(cause)[:200]}"
    said = result.stderr
    if result.exit_code == 0:
        return f"exit 0, but said {said[:200]!r}" if said else ""
    if result.exit_code != 2:
        return f"exit {result.exit_code}: {said[:200]!r}"
    if not said.endswith("\n"):
        return f"not whole lines: {said[:300]!r}"
    for line in said[:-1].split("\n"):
        if not line.startswith("error: ") or not line.isprintable():
            return f"not one line a sentence: {said[:300]!r}"
        if len(line) > LONGEST + len("error: "):
            return f"an error of {len(line)} characters: {said[:200]!r}"
    if names and not any(name in said for name in names):
        return f"names none of {list(names)}: {said[:300]!r}"
    return ""


def warm_up() -> None:
    """Import all that planning needs, without limits: a library takes more address space than a case may."""
    CliRunner().invoke(main, ["run", "digits", "--smoke", "--dry-run", "--set", "suite=v1"])
