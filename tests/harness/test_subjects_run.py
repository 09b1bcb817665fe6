"""A run with subjects: one coin, one line of every count and one guarantee for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from leakfront.datasets import LabelledImages
from leakfront.defenses import TrainingSet
from leakfront.errors import InputError
from leakfront.harness.pool.pool import PoolSettings, build_pool, flip_coins
from leakfront.harness.stages.many_runs import _of_subjects
from leakfront.results.run.data import RunData
from leakfront.results.run.per_image import per_image
from leakfront.results.statistics.counts import extracted_at_fdr
from tests.in_process import run_here
from tests.synthetic_run import digits

SETTINGS: dict[str, Any] = {
    "name": "subjects",
    "splits": 2,
    "data": {"pool": 120, "reference": 60, "params": {"subjects": "regex:^(p[0-9]+)_"}},
    "model": {"name": "memorizer"},
    "sampling": {"images": 100, "steps": 5},
    "attacks": {"loss": {}, "extraction": {"neighbours": 10}},
    "metrics": {"features": "pixels", "names": []},
    "statistics": {"audit_guesses": 10},
}


def data(images: int = 200, each: int = 4) -> LabelledImages:
    names = tuple(f"p{i // each}" for i in range(images))
    return LabelledImages(digits()[:images], np.zeros(images, dtype=np.int64), subjects=names)


def test_a_subject_is_inside_the_pool_or_outside_and_has_one_coin() -> None:
    found = data()
    pool = build_pool(found, PoolSettings(101, reference=50), seed=3)
    assert pool.subjects is not None
    assert pool.subject_names is not None
    assert len(pool) == 101
    who = {image.tobytes(): name for image, name in zip(found.images, found.subjects or (), strict=True)}
    assert pool.subject_names == tuple(who[image.tobytes()] for image in pool.images)
    outside = [*pool.reference_images, *pool.extractor_images]
    assert not {who[image.tobytes()] for image in outside} & set(pool.subject_names)
    coins = flip_coins(pool, PoolSettings(101), seed=3, split=0)
    for subject in np.unique(pool.subjects):
        assert len(set(coins[pool.subjects == subject])) == 1
    assert 0 < coins.sum() < 101


def test_planted_duplicates_do_not_go_with_subjects() -> None:
    with pytest.raises(InputError, match=r"leave it out with data\.params\.subjects"):
        build_pool(data(), PoolSettings(101, reference=50, groups=4, copies=3), seed=3)


def test_the_group_of_a_guarantee_is_all_images_of_a_subject() -> None:
    dataset = TrainingSet(digits()[:6], np.zeros(6, dtype=np.int64), np.array([0, 1, 2, 3, 3, 5]),
                          subject_of=np.array([0, 0, 0, 1, 1, 1]))  # fmt: skip
    assert dataset.copies == 3
    assert dataset.select(np.array([0, 3, 4])).copies == 2


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    root = tmp_path_factory.mktemp("subjects")
    (root / "scans").mkdir()
    for number, image in enumerate(digits()[:200]):
        Image.fromarray(image[0]).save(root / "scans" / f"p{number // 4}_{number}.png")
    settings = {**SETTINGS, "data": {**SETTINGS["data"], "dataset": f"folder:{root / 'scans'}"}}
    run_here(settings, root / "run", report=False)
    return RunData(root / "run")


def test_counts_are_of_subjects(run: RunData) -> None:
    rows = run.rows[run.rows["kind"] == "privacy"]
    cell = run.cells[0]
    subjects = np.unique(run.pool["subjects"])
    assert set(rows[(rows["metric"] == "auc") & (rows["cell"] == cell.name)]["n"]) == {len(subjects)}
    score, members = run.judged(cell, "extraction")
    assert len(score) == len(subjects) == 30
    found = rows[
        (rows["source"] == "extraction") & (rows["metric"] == "members_before_decoys") & (rows["cell"] == cell.name)
    ]
    assert found["value"].item() == extracted_at_fdr(score, members).before_decoys
    assert (rows[(rows["metric"] == "epsilon_lower_bound") & (rows["cell"] == cell.name)]["n"] <= 30).all()
    assert (rows["metric"] == "n_copies").any()
    assert run.info["dataset"]["unit"] == "subject"


def test_the_audit_over_splits_is_of_one_subject(run: RunData) -> None:
    """Its mean is the farthest from the others', and the guess is by the largest score of its images."""
    rows = run.rows[(run.rows["metric"] == "many_run_epsilon_lower_bound") & (run.rows["source"] == "extraction")]
    of = run.pool["subjects"]
    assert set(np.bincount(of)) == {4}
    means = np.stack([run.pool["images"][of == subject].reshape(4, -1).mean(0) / 255 for subject in range(30)])
    canary = int(np.linalg.norm(means[:, None] - means, axis=2).mean(1).argmax())
    right = 0
    for cell in run.cells:
        score, members = run.judged(cell, "extraction")
        right += int((score[canary] > np.median(score)) == members[canary])
    method = f"many-run audit of one subject, {right} of 2 guesses right, corrected for 1 attacks"
    assert rows["ci_method"].item() == method


def test_subjects_of_another_number_of_images_are_no_canary() -> None:
    means, eligible = _of_subjects(np.array([[0.0], [2.0], [4.0], [6.0], [9.0]]), np.array([0, 0, 1, 1, 2]))
    assert means.tolist() == [[1.0], [5.0], [9.0]]
    assert eligible.tolist() == [True, True, False]


def test_lines_of_images_name_their_subjects_whose_q_value_they_share(run: RunData) -> None:
    lines = pd.DataFrame(per_image(run))
    assert (lines["subject"] == lines["file"].str.extract("^(p[0-9]+)_")[0]).all()
    assert lines.groupby(["split", "subject"])["member"].nunique().max() == 1
    assert lines[lines["member"]].groupby(["split", "subject"])["q_value"].nunique().max() == 1
    assert pd.read_csv(run.folder / "per_image.csv")["subject"].tolist() == lines["subject"].tolist()


def test_a_shareable_run_has_numbers_for_subjects_and_no_pattern(run: RunData) -> None:
    from leakfront.harness.shareable import shareable_runs
    from leakfront.harness.store.layout import Layout
    from leakfront.results.run.shown_names import LEFT_OUT

    (shared,) = shareable_runs([Layout(run.folder)])
    lines = per_image(shared, shared.cells[0])
    assert lines["subject"].str.fullmatch("subject [0-9]+").all()
    assert (lines["file"] == "image " + lines["image"].astype(str)).all()
    assert shared.info["config"]["data"]["params"]["subjects"] == LEFT_OUT
