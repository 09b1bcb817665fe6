"""An attack that is added to a finished run asks a model only for what no attack has asked before."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from leakfront.attacks.loss import NoiseErrors
from leakfront.attacks.pia import ProximalErrors
from leakfront.harness.execution.process import Task
from leakfront.harness.execution.tasks import run_task
from leakfront.harness.settings.sections import parse_config
from leakfront.results.run.rows import read_rows
from tests.in_process import in_process, run_here
from tests.small_config import small

LOSS = {"loss": {"timesteps": [50, 100], "draws": 2}}
BOTH = {**LOSS, "pia": {"timesteps": [50, 200]}}
PROBE = Path("cells", "none-split0", "probe")


def settings(attacks: dict[str, Any], **changes: Any) -> dict[str, Any]:
    only = {"data__pool": 40, "data__duplicates": {}, "sampling__images": 24, "statistics__audit_guesses": 4}
    with_metrics = {"metrics": {"features": "digits_frozen", "names": ["kid"]}}
    found = small(model={"name": "memorizer"}, splits=1, defenses=[{"name": "none"}], **only, **with_metrics, **changes)
    return {**found, "attacks": attacks}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("begun") / "run"
    assert not run_here(settings(LOSS), folder, report=False)[0].failed
    return folder


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """The kinds of signals that are measured, in order."""
    found: list[type] = []
    for kind in (NoiseErrors, ProximalErrors):

        def measure(signal: Any, queries: Any, original: Any = kind.measure) -> Any:
            if len(queries.images) > 1:  # with one image a plan counts the calls
                found.append(type(signal))
            return original(signal, queries)

        monkeypatch.setattr(kind, "measure", measure)
    return found


def probe(run: Path, attacks: dict[str, Any]) -> None:
    with in_process():
        run_task(Task("probe", run, parse_config(settings(attacks)).model_dump_json(), "none-split0"))


def rows(run: Path) -> pd.DataFrame:
    found = read_rows(run / "results.csv")
    return found[~found["metric"].str.endswith("_seconds") & (found["metric"] != "peak_memory_mib")]


def test_it_asks_only_for_what_is_new_and_no_number_differs_from_asking_for_all_at_once(
    run: Path, tmp_path: Path, asked: list[type]
) -> None:
    at_once = Path(shutil.copytree(run, tmp_path / "at once"))
    shutil.rmtree(at_once / PROBE)
    for folder, expected in ((run, {ProximalErrors}), (at_once, {NoiseErrors, ProximalErrors})):
        asked.clear()
        assert not run_here(settings(BOTH), folder, report=False)[0].failed
        assert {*asked} == expected
    one, other = (folder / PROBE / "signals.safetensors" for folder in (run, at_once))
    assert one.read_bytes() == other.read_bytes()
    pd.testing.assert_frame_equal(rows(run), rows(at_once), check_exact=True)


def test_a_removed_attack_asks_for_nothing_and_its_signals_go(run: Path, asked: list[type]) -> None:
    before = (run / PROBE / "signals.safetensors").read_bytes()
    probe(run, BOTH)
    assert len((run / PROBE / "signals.safetensors").read_bytes()) > len(before)
    asked.clear()
    probe(run, LOSS)
    assert not asked
    assert (run / PROBE / "signals.safetensors").read_bytes() == before


def test_other_parameters_are_asked_for(run: Path, asked: list[type]) -> None:
    probe(run, {"loss": {"timesteps": [50, 150], "draws": 2}})
    assert {*asked} == {NoiseErrors}


def test_signals_that_are_damaged_are_asked_for_again(run: Path, asked: list[type]) -> None:
    signals = run / PROBE / "signals.safetensors"
    content = signals.read_bytes()
    signals.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    probe(run, BOTH)
    assert NoiseErrors in asked


def test_signals_that_another_machine_measured_are_asked_for_again(
    run: Path, asked: list[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leakfront.harness.stages.earlier_probe.made_by", lambda *_: {"machine": "another"})
    probe(run, BOTH)
    assert NoiseErrors in asked
