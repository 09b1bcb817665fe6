"""A run of the text model that memorizes every pair: attacks on captions find its members, by its own features."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from leakfront.results.run.rows import read_rows
from tests.in_process import run_here
from tests.small_config import small

PAIRS = 24  # that `retained` tries
ATTACKS = {
    "reconstruction": {"samples_per_prompt": 4},
    "outlier_by_prompt": {"samples_per_prompt": 4, "clique": 4, "fraction": 0.5},
    "retained": {"pairs": PAIRS, "steps": 2, "batch_size": 1, "samples": 2, "matches": 1},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = small(
        model={"name": "captioned_memorizer"}, attacks=ATTACKS, splits=1, data__dataset="captioned_digits",
        data__reference=50, sampling__images=30, metrics={"features": "embedded", "names": [], "features_params": {
            "steps": 5, "epochs": 1, "fits": 2}},
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("captioned") / "run"
    outcome, _ = run_here(settings, folder, report=False)
    assert (outcome.failed, outcome.diverged) == ({}, [])
    return folder


def scores(run: Path, attack: str) -> np.ndarray:
    return load_file(run / "cells" / "none-split0" / "attack" / attack / "scores.safetensors")["score"]


def members(run: Path) -> np.ndarray:
    return load_file(run / "cells" / "none-split0" / "prepare" / "coins.safetensors")["members"].astype(bool)


def test_a_caption_brings_its_members_image_out_by_features_of_the_runs_extractor(run: Path) -> None:
    auc = read_rows(run / "results.csv").query("source == 'reconstruction' and metric == 'auc'")["value"]
    assert set(auc) == {1.0}
    np.testing.assert_allclose(scores(run, "reconstruction")[members(run)], 1, atol=1e-3)


def test_planted_pairs_are_tried_first_and_members_come_back(run: Path) -> None:
    score, pool = scores(run, "retained"), load_file(run / "pool" / "pool.safetensors")
    tried = score > -2
    assert tried.sum() == PAIRS
    assert tried[pool["copies"] > 1].all()
    assert score[tried & members(run)].min() > score[tried & ~members(run)].max()


def test_outlying_members_are_extracted_by_their_captions(run: Path) -> None:
    score = scores(run, "outlier_by_prompt")
    asked = score > -2
    assert 48 <= asked.sum() < 60
    assert score[asked & members(run)].min() > score[asked & ~members(run)].max()
