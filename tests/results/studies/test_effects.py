"""Effects against closed forms, on made-up rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leakfront.errors import InputError
from leakfront.registry import build
from leakfront.results.run.rows import ALL
from leakfront.results.statistics.counts import extracted_at_fdr
from leakfront.results.statistics.roc import auc
from leakfront.results.studies import CannotJudge, effects, permutation
from leakfront.results.studies.correlation import Correlation
from leakfront.results.studies.difference import Difference
from leakfront.results.studies.equal_fid import EqualFID
from leakfront.results.studies.judging.data import StudyData
from leakfront.results.studies.largest import Largest
from leakfront.results.studies.permutation import Permutation
from leakfront.results.studies.slope import Slope
from leakfront.results.studies.trend import Trend
from tests.results.studies.made_up import rows, study
from tests.synthetic_run import TWO, synthetic_run

AUC = {"source": "loss", "metric": "auc"}


def test_difference_is_one_number_minus_another_in_each_split() -> None:
    data = study(run=rows({"none": [0.9, 0.8, 0.7], "dedup": [0.6, 0.6, 0.6]}))
    found = Difference(measure=AUC, of={"defense": "dedup"}, minus={"defense": "none"}).evaluate(data)
    assert found.values == pytest.approx({"0": -0.3, "1": -0.2, "2": -0.1})
    twice = Difference(measure=AUC, of={"defense": "none"}, minus={"defense": "dedup"}, factor=2.0).evaluate(data)
    assert list(twice.values.values()) == pytest.approx([-0.3, -0.4, -0.5])


def test_a_number_over_all_splits_is_no_split() -> None:
    data = study(run=[*rows({"none": [0.9, 0.8]}), *rows({"none": [0.85]}, split=ALL)])
    assert data.values({**AUC, "defense": "none"}) == {"0": 0.9, "1": 0.8}


def test_arms_are_told_apart_by_their_names() -> None:
    data = study(unet=rows({"none": [5.0, 7.0]}), gan=rows({"none": [1.0, 2.0]}))
    found = Difference(measure=AUC, of={"run": "unet"}, minus={"run": "gan"}).evaluate(data)
    assert list(found.values.values()) == [4.0, 5.0]
    with pytest.raises(CannotJudge, match=r"several rows of one split .* they differ in run"):
        data.values(AUC)


def test_levels_are_told_apart() -> None:
    made = [*rows({"none": [0.2, 0.3]}, metric="tpr_at_fpr", level=0.1),
            *rows({"none": [0.1, 0.2]}, metric="tpr_at_fpr", level=0.01)]  # fmt: skip
    assert study(run=made).values({"metric": "tpr_at_fpr", "level": 0.01}) == {"0": 0.1, "1": 0.2}


def test_what_is_missing_is_said_in_a_sentence() -> None:
    data = study(run=rows({"none": [0.9, math.nan, 0.7], "dedup": [math.nan, 0.6, 0.6]}))
    with pytest.raises(CannotJudge, match="there is no row with metric 'auc', defense 'ambient'"):
        data.values({"metric": "auc", "defense": "ambient"})
    with pytest.raises(CannotJudge, match="only 1 split of the at least 2"):
        Difference(measure=AUC, of={"defense": "dedup"}, minus={"defense": "none"}).evaluate(data)


def test_largest_takes_the_worst_model_and_what_it_claims() -> None:
    audited = rows({"dp epsilon=1": [0.5, 1.5], "dp epsilon=10": [2.0, 1.0]})
    claimed = rows({"dp epsilon=1": [1.0, 1.0], "dp epsilon=10": [10.0, 10.0]}, source="dp", metric="epsilon")
    cells = ({"params": "epsilon=1"}, {"params": "epsilon=10"})
    data = study(run=audited + claimed)
    found = Largest(measure=AUC, minus={"source": "dp", "metric": "epsilon"}, cells=cells).evaluate(data)
    assert list(found.values.values()) == [-0.5, 0.5]
    against = Largest(measure=AUC, cells=cells, against=0.5).evaluate(data)
    assert list(against.values.values()) == [1.5, 1.0]


@pytest.mark.parametrize("log", [False, True])
def test_slope_is_the_change_with_each_doubling(log: bool) -> None:
    at = (40.0, 80.0, 160.0)
    given = [[3 * x**1.25 for x in at], [5 * x**1.25 for x in at]] if log else [[7.0, 6.5, 6.0], [1.0, 0.5, 0.0]]
    values = {f"none n={x:g}": [split[i] for split in given] for i, x in enumerate(at)}
    cells = tuple({"params": f"n={x:g}"} for x in at)
    found = Slope(measure=AUC, cells=cells, at=at, log=log).evaluate(study(run=rows(values)))
    assert list(found.values.values()) == pytest.approx([1.25] * 2 if log else [-0.5] * 2)
    if not log:
        with pytest.raises(CannotJudge, match="above 0"):
            Slope(measure=AUC, cells=cells, at=at, log=True).evaluate(study(run=rows(values)))


def test_trend_is_pages() -> None:
    values = {f"none k={k}": [k + 0.1 * split for split in range(5)] for k in range(4)}
    cells = tuple({"params": f"k={k}"} for k in range(4))
    rise, fall = Trend(measure=AUC, cells=cells).evaluate(study(run=rows(values))).p_values or (1, 1)
    assert rise == pytest.approx(24.0**-5)  # the one order of 24 in each of 5 splits
    assert fall == pytest.approx(1)


def test_curves_are_read_at_the_fid_that_both_reach() -> None:
    fids = {"unet k=1": [8.0] * 2, "unet k=2": [2.0] * 2, "gan k=1": [4.0] * 2, "gan k=2": [1.0] * 2}
    leaks = {"unet k=1": [10.0, 20.0], "unet k=2": [30.0, 40.0], "gan k=1": [0.0, 4.0], "gan k=2": [8.0, 12.0]}
    data = study(run=[*rows(fids, source="fid", metric="fid"), *rows(leaks)])
    cells = {name: tuple({"defense": name, "params": f"k={k}"} for k in (1, 2)) for name in ("unet", "gan")}
    effect = EqualFID(measure=AUC, of=cells["unet"], minus=cells["gan"])
    assert list(effect.evaluate(data).values.values()) == pytest.approx([20 - 0, 30 - 4])  # at FID 4, half-way in log
    assert [curve.name for curve in effect.evaluate(data).shown.curves] == ["gan", "unet"]
    at_best = EqualFID(measure=AUC, of=cells["unet"], minus=cells["gan"], at="smallest")
    assert list(at_best.evaluate(data).values.values()) == pytest.approx([30 - 4, 40 - 8])  # at FID 2


def test_curves_of_several_runs_have_the_name_that_these_share() -> None:
    gan = tuple({"run": f"gan-{steps}", "defense": "none"} for steps in (1000, 2000))
    unet = ({"run": "unet", "defense": "early_stop", "params": "fraction=0.5"}, {"run": "unet", "defense": "none"})
    fid = {(cell["run"], cell["defense"], cell.get("params", "")): [2.0, 2.0] for cell in (*gan, *unet)}
    runs: dict[str, list[Any]] = {}
    for (run, defense, params), values in fid.items():
        name = f"{defense} {params}".strip()
        runs.setdefault(run, []).extend([*rows({name: values}, source="fid", metric="fid"), *rows({name: values})])
    effect = EqualFID(measure=AUC, of=unet, minus=gan)
    assert [curve.name for curve in effect.evaluate(study(**runs)).shown.curves] == ["gan", "unet"]


def test_curves_that_share_no_fid_are_not_compared() -> None:
    fids = {"a k=1": [9.0] * 2, "a k=2": [8.0] * 2, "b k=1": [2.0] * 2, "b k=2": [1.0] * 2}
    data = study(run=[*rows(fids, source="fid", metric="fid"), *rows(fids)])
    cells = [tuple({"defense": name, "params": f"k={k}"} for k in (1, 2)) for name in "ab"]
    with pytest.raises(CannotJudge, match="in 0 of 2 splits"):
        EqualFID(measure=AUC, of=cells[0], minus=cells[1]).evaluate(data)


def test_correlation_is_that_of_ranks() -> None:
    cells = tuple({"params": f"k={k}"} for k in range(4))
    x = rows({f"none k={k}": [2.0**k, -float(k)] for k in range(4)}, source="fid", metric="fid")
    data = study(run=[*x, *rows({f"none k={k}": [float(k), float(k)] for k in range(4)})])
    found = Correlation(x={"metric": "fid"}, y=AUC, cells=cells).evaluate(data)
    assert list(found.values.values()) == pytest.approx([1, -1])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> StudyData:
    return StudyData({"run": synthetic_run(tmp_path_factory.mktemp("run"), TWO, splits=3)})


@pytest.mark.parametrize(("effect_of_copies", "low"), [(1.0, True), (0.0, False)])
def test_permutation_finds_an_effect_of_copies_and_nothing_without_one(
    effect_of_copies: float, low: bool, monkeypatch: pytest.MonkeyPatch, finished: StudyData
) -> None:
    def scored(run: object, cell: Any) -> pd.DataFrame:
        copies, rng = np.random.default_rng(5).permutation([1, 2, 4, 8] * 15), np.random.default_rng(int(cell.split))
        score = effect_of_copies * np.log2(copies) + rng.normal(size=60) + 10 * int(cell.split)
        return pd.DataFrame(
            {"image": np.arange(60), "member": rng.random(60) < 0.5, "copies": copies, "score_loss": score}
        )

    monkeypatch.setattr(permutation, "per_image", scored)
    found = Permutation(attack="loss", cell={"defense": "none"}, draws=999).evaluate(finished)
    assert found.p_values is not None
    assert (found.splits, found.p_values[0] < 0.01) == (3, low)


def test_permutation_does_not_count_an_easy_image_in_every_split(
    monkeypatch: pytest.MonkeyPatch, finished: StudyData
) -> None:
    """Images are easy or hard in all splits alike, and copies have no effect: p below 0.1 in 10% of assignments."""
    easy = np.random.default_rng(0).normal(size=40)

    def p_of_a_rise(number: int) -> float:
        copies = np.random.default_rng([1, number]).permutation([1, 2, 4, 8] * 10)

        def scored(run: object, cell: Any) -> pd.DataFrame:
            members = np.random.default_rng(int(cell.split)).random(40) < 0.5
            return pd.DataFrame({"image": np.arange(40), "member": members, "copies": copies, "score_loss": easy})

        monkeypatch.setattr(permutation, "per_image", scored)
        found = Permutation(attack="loss", cell={"defense": "none"}, draws=99).evaluate(finished).p_values
        assert found is not None
        return found[0]

    below = sum(p_of_a_rise(number) <= 0.1 for number in range(200))
    assert below <= 33  # 20 expected; 33 or fewer with probability 0.998


def test_permutation_says_what_is_not_known(finished: StudyData) -> None:
    with pytest.raises(CannotJudge, match="score_gsa1 of single images are not known"):
        Permutation(attack="gsa1", cell={"defense": "none"}).evaluate(finished)
    with pytest.raises(CannotJudge, match="several models of one split"):
        Permutation(attack="loss", cell={}).evaluate(finished)
    with pytest.raises(CannotJudge, match="there is no model with defense 'ambient'"):
        Permutation(attack="loss", cell={"defense": "ambient"}).evaluate(finished)


def test_numbers_among_planted_and_unique_images_come_from_scores(finished: StudyData) -> None:
    which = {"source": "extraction", "metric": "members_before_decoys", "defense": "none"}
    parts = [finished.values({**which, "among": among}) for among in ("planted", "unique")]
    run = finished.runs["run"]
    for cell in (c for c in run.cells if c.defense == "none"):
        score, members = run.scores(cell, "extraction")["score"], run.members(cell)
        whole = extracted_at_fdr(score, members, 0.05, 0.5).before_decoys
        assert parts[0][cell.split] + parts[1][cell.split] == whole
        unique = run.pool["copies"] == 1
        area = finished.values({**which, "metric": "auc", "among": "unique"})[cell.split]
        assert area == pytest.approx(auc(score[unique], members[unique]))


def test_every_effect_has_a_summary_and_refuses_unknown_columns() -> None:
    for name in effects.names():
        assert effects.get(name).summary
    params = {"measure": {"sources": "loss"}, "of": {}, "minus": {}}
    with pytest.raises(InputError, match="'sources' is no column"):
        build(effects, "difference", params, "study.questions[0].effect")
    with pytest.raises(InputError, match=r"level is '0\.1'; it must be a number"):
        build(effects, "difference", params | {"measure": {"level": "0.1"}}, "study.questions[0].effect")
    with pytest.raises(InputError, match="2 different settings"):
        Slope(measure={}, cells=({}, {}), at=(1.0, 1.0))
