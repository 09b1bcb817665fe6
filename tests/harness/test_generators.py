"""A benchmark of generators: it trains, samples and is attacked; what does not apply is said or refused."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from leakfront.errors import InputError
from leakfront.harness.checks import check_everything
from leakfront.harness.dry_run import print_plan
from leakfront.harness.plan.external import NO_DENOISER, NO_DISCRIMINATOR
from leakfront.harness.plan.make import make_plan, notes_on
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.store.layout import Layout
from tests.in_process import command_here
from tests.small_config import small, write_toml

TINY = {"name": "gan", "noise": 4, "generator_width": 8, "discriminator_width": 8}
ATTACKS = {"extraction": {"neighbours": 10}, "discriminator": {}, "loss": {"timesteps": [50]}}


def gan(**changes: object) -> dict[str, object]:
    settings = small(training__steps=3, metrics={"features": "pixels", "names": ["kid"]}, **changes)
    return {**settings, "model": TINY, "attacks": ATTACKS}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    place = tmp_path_factory.mktemp("gan")
    result = command_here("run", write_toml(place / "gan.toml", gan()), "--out", place / "run", report=False)
    assert result.exit_code == 0, result.output
    return pd.read_csv(place / "run" / "results.csv")


def test_samples_and_the_discriminator_are_attacked(rows: pd.DataFrame) -> None:
    attacked = set(rows[(rows.kind == "privacy") & (rows.metric == "auc")].source)
    assert attacked == {"extraction", "discriminator"}
    assert "kid_pixels" in set(rows.metric)


def test_an_image_costs_one_call_and_a_step_the_calls_of_both_networks(rows: pd.DataFrame) -> None:
    one = rows[(rows.split.astype(str) == "0") & (rows.cell == "none-split0")].set_index(["source", "metric"]).value
    assert one["sample", "model_calls_per_image"] == 1
    assert one["discriminator", "model_calls_per_image"] == 2
    penalty = 16  # at the first step only
    assert one["train", "training_model_calls"] == 3 * 5 * 16 + penalty


def test_attacks_on_noise_predictions_are_left_out_by_name() -> None:
    plan = make_plan(parse_config(gan()))
    assert plan.note("loss", 1) == NO_DENOISER
    assert plan.judged_by(1) == ["extraction", "discriminator"]
    assert any("sampling.steps" in note for note in notes_on(plan))


def test_a_diffusion_model_has_no_discriminator() -> None:
    plan = make_plan(parse_config(small(attacks__discriminator={})))
    assert plan.note("discriminator", 1) == NO_DISCRIMINATOR


@pytest.mark.parametrize("defense", [{"name": "dp_sgd", "epsilon": 1.0}, {"name": "guidance"}])
def test_defenses_of_training_and_sampling_are_refused(tmp_path: Path, defense: dict[str, object]) -> None:
    config = parse_config({**gan(), "defenses": [defense]})
    with pytest.raises(InputError, match="makes its images in one call; use defenses of data or batches"):
        check_everything(config, Layout(tmp_path))


def test_a_dry_run_times_a_generator(tmp_path: Path) -> None:
    console = Console(record=True, width=150)
    print_plan(parse_config(gan()), Layout(tmp_path / "run"), 1, console)
    said = console.export_text()
    assert "estimate: " in said
