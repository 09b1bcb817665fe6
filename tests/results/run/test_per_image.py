"""The lines for single images agree with the report's counts, and with slow definitions written once more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from leakfront.errors import InputError
from leakfront.results.run.combined import combined
from leakfront.results.run.data import RunData
from leakfront.results.run.per_image import per_image
from leakfront.results.statistics.counts import extracted_at_fdr, q_values
from tests.synthetic_run import Strength, synthetic_run

ATTACKS = ("blind", "extraction", "loss", "pia")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    two = (Strength("none", copied=29, leak=1.1), Strength("dedup", "threshold=0.9"))
    return synthetic_run(tmp_path_factory.mktemp("run"), two, splits=2, attacks=ATTACKS)


@pytest.mark.parametrize("coin", [0.5, 0.3])
def test_a_q_value_is_the_least_rate_over_all_thresholds_at_or_below_the_score(coin: float) -> None:
    rng = np.random.default_rng(0)
    members = rng.random(120) < coin
    scores = rng.normal(size=120).round(1) + 1.5 * members * (rng.random(120) < 0.5)  # with ties
    found = q_values(scores, members, coin)
    for image in np.flatnonzero(members):
        rates = [
            (1 + (scores[~members] >= t).sum()) / (scores[members] >= t).sum() * coin / (1 - coin)
            for t in scores
            if t <= scores[image] and (scores[members] >= t).any()
        ]
        assert found[image] == pytest.approx(min(1, *rates))
    assert np.isnan(found[~members]).all()


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.2, 0.5])
def test_the_members_at_a_rate_are_those_that_are_reported_at_it(rate: float) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        members = rng.random(200) < 0.5
        scores = rng.normal(size=200) + 2 * members * (rng.random(200) < 0.4)
        reported = extracted_at_fdr(scores, members, rate).mask
        np.testing.assert_array_equal(q_values(scores, members) <= rate, reported)


def test_the_files_at_5_percent_are_those_that_the_report_counts(run: RunData) -> None:
    lines = per_image(run)
    counts = lines[lines["q_value"] <= 0.05].groupby("cell").size()
    rows = run.rows[(run.rows["metric"] == "extracted_at_fdr") & (run.rows["cell"] != "")]
    assert rows["value"].max() >= 20
    assert {cell: counts.get(cell, 0) for cell in rows["cell"]} == dict(zip(rows["cell"], rows["value"], strict=True))


def test_it_has_a_line_for_each_image_of_each_model_the_closest_match_first(run: RunData) -> None:
    lines = per_image(run)
    assert len(lines) == 4 * 256
    of_one = per_image(run, run.cells[1])
    pd.testing.assert_frame_equal(lines[lines["cell"] == run.cells[1].name].reset_index(drop=True), of_one)
    assert (of_one["rank"].diff().dropna() >= 0).all()
    assert (of_one["adaptive"].diff().dropna() >= 0).all()
    assert of_one["rank"].iloc[0] == 1
    assert sorted(of_one["image"]) == list(range(256))


def test_distances_and_attacks_are_those_of_the_arrays(run: RunData) -> None:
    cell = run.cells[0]
    lines = per_image(run, cell).set_index("image").sort_index()
    members, pool, samples = run.members(cell), run.pool["images"] / 255, run.samples(cell) / 255
    for image, line in lines.head(20).iterrows():
        assert line["l2"] == pytest.approx(np.sqrt(((pool[image] - samples[line["nearest_sample"]]) ** 2).mean()))
        above = [run.scores(cell, a)["score"] for a in ATTACKS[1:]]
        assert line["above_all_decoys"] == sum(score[image] > score[~members].max() for score in above)
    assert lines["above_all_decoys"].max() >= 2
    assert (lines.loc[~lines["member"], "above_all_decoys"] == 0).all()
    assert lines.loc[~lines["member"], "q_value"].isna().all()
    np.testing.assert_array_equal(lines["score_pia"], run.scores(cell, "pia")["score"])


def test_without_extraction_there_are_the_other_attacks(tmp_path: Path) -> None:
    lines = per_image(synthetic_run(tmp_path, splits=1, attacks=("extraction", "loss"), left_out={"extraction": "no"}))
    assert lines["q_value"].isna().all()
    assert lines["score_loss"].notna().all()


def test_names_come_from_the_pool_and_none_begins_like_a_formula(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, splits=1, pool=64)
    names = tmp_path / "pool" / "names.txt"
    names.write_text("".join(f"{'=' if i == 3 else ''}{i}.png\n" for i in range(64)))
    lines = per_image(run, run.cells[0]).set_index("image")
    assert lines["file"][7] == "7.png"
    assert lines["file"][3] == "./=3.png"
    names.write_text("1.png\n")
    with pytest.raises(InputError, match=r"names.txt cannot be read .it has 1 lines for 64 images"):
        per_image(RunData(tmp_path))


def test_several_runs_are_refused(run: RunData) -> None:
    with pytest.raises(InputError, match="one run"):
        per_image(combined([run, run]))
