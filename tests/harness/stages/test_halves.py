"""Two models on two halves of the pool: one that memorizes disagrees, one that only knows moments agrees."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from leakfront.errors import InputError
from leakfront.harness.dry_run import print_plan
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages.halves import CHECKPOINT, check_halves
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import read_rows
from tests.in_process import run_here
from tests.small_config import small

QUICK = {
    "splits": 1, "attacks": {"loss": {"timesteps": [50], "draws": 1}}, "data__duplicates__groups": 0, "halves": True,
    "metrics__features_params": {"dimensions": 16, "steps": 5, "fits": 1},
}  # fmt: skip


def agreement_of(folder: Path, model: dict[str, Any], **changes: Any) -> Any:
    outcome, _ = run_here(small(**{**QUICK, "model": model, **changes}), folder, report=False)
    assert (outcome.failed, outcome.diverged) == ({}, [])
    rows = read_rows(folder / "results.csv")
    return rows[(rows["source"] == "halves") & (rows["split"] == "0")].iloc[0]


def test_moments_agree_and_memorizers_do_not(tmp_path: Path) -> None:
    moments = agreement_of(tmp_path / "moments", {"name": "gaussian"}, data__pool=400)
    memory = agreement_of(tmp_path / "memory", {"name": "memorizer"})
    assert moments["value"] > 0.5 > memory["value"] + 0.2
    assert memory["ci_low"] < memory["value"] < memory["ci_high"] < 0.4
    assert "training images" in memory["ci_method"]


def test_a_trained_model_has_its_other_half_and_is_not_trained_again(tmp_path: Path) -> None:
    model = {"name": "unet", "channels": [8], "head_channels": 8}
    first = agreement_of(tmp_path / "run", model, training__steps=4)
    assert first["value"] > 0.5  # after four steps from the same weights
    assert not list((tmp_path / "run").rglob(CHECKPOINT))
    out = io.StringIO()
    config = parse_config(small(**{**QUICK, "training__steps": 4}))
    print_plan(config, Layout(tmp_path / "run"), 1, Console(file=out, width=200))
    assert "halves" in out.getvalue()
    assert "estimate: 0 s of work" in out.getvalue()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"sampling__scheduler": "ddpm"}, 'set sampling.scheduler = "ddim"'),
        ({"sampling__eta": 0.5}, "draws noise in every step"),
        ({"defenses": [{"name": "dp_sgd", "epsilon": 1}]}, "must not be used twice"),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        check_halves(make_plan(parse_config(small(**QUICK, **changes))))


def test_runs_without_it_have_the_same_keys() -> None:
    plans = [make_plan(parse_config(small(**{**QUICK, "halves": wanted}))) for wanted in (False, True)]
    without, with_it = (plan.cells[0].keys for plan in plans)
    assert {name: key for name, key in with_it.items() if name != "halves"} == without
