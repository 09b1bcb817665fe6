"""Why each worker has one thread: two models trained at once on two cores, by processes and by threads.

Run: python -m benchmarks.threads
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from rich.console import Console
from rich.table import Table

STEPS = 40


def train_steps(threads: int) -> None:
    """Make the training steps of one process; print the seconds per step of the second half."""
    import torch

    from benchmarks.steps import step_of

    torch.set_num_threads(threads)
    step = step_of(64)
    for number in range(STEPS):
        if number == STEPS // 2:
            start = time.perf_counter()
        step()
    print((time.perf_counter() - start) / (STEPS - STEPS // 2))


def measure(processes: int, threads: int, policy: str) -> float:
    """Milliseconds per step of the slowest process, when `processes` models train at once."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": policy}
    command = [sys.executable, "-m", "benchmarks.threads", str(threads)]
    running = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(processes)]
    return max(float(process.communicate()[0]) for process in running) * 1000


def main() -> None:
    """Print milliseconds per step."""
    cases = [(1, 1, "passive"), (1, 2, "passive"), (2, 1, "passive"), (2, 2, "passive"), (2, 2, "active")]
    table = Table(title=f"training step of the digits benchmark on {os.cpu_count()} cores", title_justify="left")
    for heading in ("processes", "threads each", "OMP_WAIT_POLICY", "ms a step", "ms a step and model"):
        table.add_column(heading, justify="right")
    for processes, threads, policy in cases:
        time_of_step = measure(processes, threads, policy)
        row = (processes, threads, policy, f"{time_of_step:.0f}", f"{time_of_step / processes:.0f}")
        table.add_row(*map(str, row))
    Console(width=110).print(table)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        train_steps(int(sys.argv[1]))
    else:
        main()
