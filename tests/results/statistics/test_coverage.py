"""Every interval holds the truth as often as it says, and is not simply wide; claims err no more often than they say.

The simulations are those behind docs/coverage.md, with the same seeds.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scipy.stats import binom

from benchmarks.coverage import AT_LEAST, AT_MOST, NOMINAL, RUNS, Measured, Simulation, simulations
from benchmarks.coverage.__main__ import document

PAGE = Path(__file__).parents[3] / "docs" / "coverage.md"


@pytest.mark.slow
@pytest.mark.timeout(3600)  # 2,500 times 41 fits of a classifier take minutes
@pytest.mark.parametrize("simulation", simulations(), ids=str)
def test_the_promise_is_kept(simulation: Simulation) -> None:
    measured = simulation.measure()
    assert simulation.promise.kept(measured), measured
    assert not measured.width > simulation.widest, measured


def chance(low: float, high: float, rate: float) -> float:
    """Of measuring a rate in [low, high] when this is the true one."""
    return float(binom.cdf(int(high * RUNS + 1e-9), RUNS, rate) - binom.cdf(round(low * RUNS) - 1, RUNS, rate))


def test_as_many_runs_tell_right_from_wrong() -> None:
    assert 1 - chance(NOMINAL.low, NOMINAL.high, 0.95) < 1 / 1500
    assert chance(NOMINAL.low, NOMINAL.high, 0.92) < 1 / 300
    assert chance(NOMINAL.low, NOMINAL.high, 0.98) < 1 / 300
    assert chance(AT_LEAST.low, 1, 0.95) > 0.999
    assert chance(AT_LEAST.low, 1, 0.92) < 0.05
    assert chance(0, AT_MOST.high, 0.05) > 0.999


@pytest.mark.slow  # since it follows measuring: python -m benchmarks.coverage
def test_the_page_has_every_simulation_and_each_keeps_its_promise() -> None:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.read_text().splitlines() if "|" in line]
    rows = [row for row in rows if re.search(r"^\d+\.\d%$", row[4])]
    assert [row[:3] for row in rows] == [[s.interval, s.conditions, s.promise.words] for s in simulations()]
    for row, simulation in zip(rows, simulations(), strict=True):
        rate = float(row[4].removesuffix("%")) / 100
        assert simulation.promise.low - 0.0005 <= rate <= simulation.promise.high + 0.0005, simulation


def test_the_page_says_what_was_measured() -> None:
    one, *_, claim = simulations()
    page = document([(one, Measured(0.9512, 2500, 1.234)), (claim, Measured(0.0321, 0, float("nan")))])
    assert f"| {one.interval} | {one.conditions} | 95% | 2,500 | 95.1% | 1.23 | {one.where} |\n" in page
    assert "Not measured yet" not in page
    assert document([], [one]).endswith(f"## Not measured yet\n\n* {one}\n")
    assert page.endswith(f"| {claim.interval} | {claim.conditions} | at most 5% |  | 3.2% | {claim.where} |\n")
