"""The times that rows state."""

from __future__ import annotations

import time

from leakfront.harness.machine.clock import Stopwatch, kind_of_time


def test_on_a_cpu_waiting_costs_nothing_and_work_does() -> None:
    watch = Stopwatch("cpu")
    time.sleep(0.5)
    waited = watch.seconds
    assert waited < 0.25
    end = time.thread_time() + 0.3
    while time.thread_time() < end:
        pass
    assert 0.3 <= watch.seconds - waited < 0.6
    assert (kind_of_time("cpu"), kind_of_time("cuda:1")) == ("CPU time", "wall time")
