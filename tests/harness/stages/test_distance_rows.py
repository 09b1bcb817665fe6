"""Distance metrics against formulas written once more, image by image, and against what they are to measure."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest, mannwhitneyu
from sklearn.cluster import KMeans

from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages import STAGES
from leakfront.harness.stages.distance_rows import c_t_of, distances_of, equal_sides, memorized_row
from leakfront.harness.stages.stage import Subject
from leakfront.harness.store.code_keys import with_imports
from leakfront.results.distances import RANGES
from leakfront.results.distances.c_t import c_t, z_u
from leakfront.results.distances.dcr_share import dcr_share
from leakfront.results.distances.memorized_share import memorized_share
from leakfront.results.distances.n_copies import n_copies
from leakfront.results.distances.nndr_ratio import nndr_ratio
from tests import oracle_targets as oracle
from tests.small_config import small

SAMPLES, SIDE = 80, 40


def parts(copies: int = 15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Samples, of which some are near copies of members, members and decoys: digits uint8 [·, 1, 8, 8]."""
    images = oracle.digits()
    rng = np.random.default_rng(0)
    members, decoys, samples = images[:SIDE], images[SIDE : 2 * SIDE], images[200 : 200 + SAMPLES].copy()
    samples[:copies] = np.clip(members[:copies].astype(int) + rng.integers(-9, 10, members[:copies].shape), 0, 255)
    return samples, members, decoys


def l2(a: np.ndarray, b: np.ndarray) -> float:
    return math.sqrt(((a.astype(np.float64) - b) ** 2).mean()) / 255


def by_hand(samples: np.ndarray, members: np.ndarray, decoys: np.ndarray) -> dict[str, float]:
    def towards(s: np.ndarray, side: np.ndarray) -> list[float]:
        return sorted(l2(s, x) for x in side)

    def others(i: int, side: np.ndarray) -> float:
        return min(l2(side[i], side[j]) for j in range(len(side)) if j != i)

    def authentic(s: np.ndarray, side: np.ndarray) -> bool:
        nearest = min(range(len(side)), key=lambda i: l2(s, side[i]))
        return others(nearest, side) < l2(s, side[nearest])

    def identified(side: np.ndarray) -> float:
        return float(np.mean([min(l2(side[i], s) for s in samples) < others(i, side) for i in range(len(side))]))

    to_members, to_decoys = [towards(s, members) for s in samples], [towards(s, decoys) for s in samples]
    tenth = [sorted(d[0] / d[1] for d in side)[9] for side in (to_members, to_decoys)]
    pairs = zip(to_members, to_decoys, strict=True)
    return {
        "dcr_share": float(np.mean([(m[0] < d[0]) + 0.5 * (m[0] == d[0]) for m, d in pairs])),
        "nndr_ratio": tenth[0] / tenth[1],
        "authenticity_gap": float(
            np.mean([authentic(s, decoys) for s in samples]) - np.mean([authentic(s, members) for s in samples])
        ),
        "identifiability_gap": identified(members) - identified(decoys),
    }


def test_they_are_the_formulas_image_by_image() -> None:
    samples, members, decoys = parts()
    found = distances_of(samples, members, decoys) | {"c_t": c_t_of(samples, members, decoys, seed=0)}
    assert set(found) == set(RANGES) - {"n_copies", "memorized_share"}
    for name, value in by_hand(samples, members, decoys).items():
        assert found[name].value == pytest.approx(value, abs=1e-6), name
    flat = [x.reshape(len(x), -1).astype(np.float64) / 255 for x in (samples, members, decoys)]
    cells = KMeans(3, n_init=4, random_state=0).fit(flat[1].astype(np.float32))
    of = [np.argmin(((x[:, None] - cells.cluster_centers_) ** 2).sum(2), axis=1) for x in flat]
    scores, weights = [], []
    for number in range(3):
        near = [
            [min(l2(x * 255, m * 255) for m in flat[1][of[1] == number]) for x in part[where == number]]
            for part, where in ((flat[0], of[0]), (flat[2], of[2]))
        ]
        if len(near[0]) < 20 or not near[1]:
            continue
        g, h = len(near[0]), len(near[1])
        u = mannwhitneyu(near[0], near[1]).statistic
        scores.append((u - g * h / 2) / math.sqrt(g * h * (g + h + 1) / 12))
        weights.append(h)
    assert scores
    assert found["c_t"].value == pytest.approx(np.average(scores, weights=weights), abs=1e-6)


def test_copies_of_members_move_each_to_its_side() -> None:
    leaking, clean = (distances_of(*parts(copies)) | {"c_t": c_t_of(*parts(copies), 0)} for copies in (30, 0))
    for name, sign in (("dcr_share", 1), ("nndr_ratio", -1), ("authenticity_gap", 1), ("identifiability_gap", 1),
                       ("c_t", -1)):  # fmt: skip
        assert sign * (leaking[name].value - clean[name].value) > 0.05, name
    samples, members, decoys = parts(30)
    exchanged = distances_of(samples, decoys, members)
    assert exchanged["dcr_share"].value == pytest.approx(1 - leaking["dcr_share"].value)
    for name in ("authenticity_gap", "identifiability_gap"):
        assert exchanged[name].value == pytest.approx(-leaking[name].value)
    assert exchanged["nndr_ratio"].value == pytest.approx(1 / leaking["nndr_ratio"].value)


def test_the_interval_of_the_share_is_its_spread_over_coins() -> None:
    """No image leaks: the sides are drawn again and again among the same images."""
    images = oracle.digits()
    samples, pool = images[300:700], images[:120]
    rng = np.random.default_rng(0)
    values, widths = [], []
    for _ in range(60):
        order = rng.permutation(len(pool))
        found = distances_of(samples, pool[order[:60]], pool[order[60:]])["dcr_share"]
        values.append(found.value)
        widths.append((found.high - found.low) / 2 / 1.96)
    assert np.std(values) == pytest.approx(np.mean(widths), rel=0.25)
    assert np.mean(widths) > 1.2 * 0.5 / math.sqrt(len(samples))  # more than that of a coin for each sample
    assert abs(np.mean(values) - 0.5) < 0.02


def test_the_interval_of_the_share_with_subjects_is_its_spread_over_their_coins() -> None:
    """No image leaks: 30 subjects of four images that look alike are dealt to the sides again and again."""
    images = oracle.digits()
    like = KMeans(30, n_init=1, random_state=0).fit(images[:900].reshape(900, -1).astype(np.float32)).labels_
    pool = np.concatenate([images[:900][like == subject][:4] for subject in range(30)])
    of = np.repeat(np.arange(30), 4)
    assert len(pool) == 120
    rng = np.random.default_rng(0)
    values, widths, of_images = [], [], []
    for _ in range(60):
        sides = [np.isin(of, chosen) for chosen in np.split(rng.permutation(30), 2)]
        found = distances_of(images[900:1300], *(pool[side] for side in sides), subjects=[of[side] for side in sides])
        values.append(found["dcr_share"].value)
        widths.append((found["dcr_share"].high - found["dcr_share"].low) / 2 / 1.96)
        of_images.append(np.ptp(distances_of(images[900:1300], *(pool[side] for side in sides))["dcr_share"][1:3]))
        assert math.isnan(found["identifiability_gap"].low)
    assert np.std(values) == pytest.approx(np.mean(widths), rel=0.25)
    assert np.mean(widths) > 1.3 * np.mean(of_images) / 2 / 1.96  # by image it would be too narrow


def test_ties_count_half_and_missing_numbers_are_said() -> None:
    tie = dcr_share(np.array([0.1, 0.2]), np.array([0, 0]), np.array([0.1, 0.3]), np.array([1, 1]), 10)
    assert tie.value == 0.75
    few = nndr_ratio(np.ones((9, 2)), np.ones((9, 2)))
    assert math.isnan(few.value)
    assert few.method == "needs 10 samples"
    assert math.isnan(c_t([(np.ones(19), np.ones(5)), (np.ones(30), np.empty(0))]).value)
    assert z_u(np.arange(30.0), np.arange(30.0)) == 0


def test_a_sample_is_a_copy_if_it_reaches_the_threshold_of_a_member() -> None:
    neighbours = np.array([[0, 1], [1, 2], [3, 0], [2, 3]])
    scores = np.array([[0.2, 0.9], [0.3, 0.4], [0.1, 0.8], [0.9, 0.95]], np.float32)
    members = np.array([True, False, True, False])
    # sample 0 matches member 0; 1 matches decoy 1 and member 2; 2 matches decoy 3 alone; 3 matches nothing
    assert n_copies(neighbours, scores, members, threshold=-0.5).value == 0.5
    assert n_copies(neighbours, scores, members, threshold=math.inf).value == 0
    assert n_copies(neighbours, scores, members, threshold=-0.25).value == 0.25


def test_a_sample_is_memorized_at_less_than_a_third_of_the_distance_to_the_second_nearest() -> None:
    """Training images at grey levels 0 and 200: d1 < d2 / 3 below 50 and above 150, and never in between."""
    plan = make_plan(parse_config(small()))
    levels = [0, 49, 51, 100, 149, 151, 200, 250]
    samples, trained_on = (
        np.zeros((len(grey), 1, 2, 2), np.uint8) + np.array(grey, np.uint8)[:, None, None, None]
        for grey in (levels, [0, 200, 0, 200, 200])
    )
    row = memorized_row(plan, plan.cells[0], trained_on, samples)[0]
    assert (row.source, row.metric, row.n, row.higher_is_better) == ("distances", "memorized_share", 8, False)
    assert row.value == pytest.approx(5 / 8)  # 0, 49, 151, 200; and 250, at 50 and 250
    assert memorized_row(plan, plan.cells[0], trained_on[:1], samples) == []
    assert memorized_row(plan, plan.cells[0], trained_on[1:2].repeat(9, axis=0), samples) == []


def test_the_interval_of_the_memorized_share_is_exact() -> None:
    found = memorized_share(np.array([[0.0, 1.0]] * 3 + [[0.5, 1.0]] * 17))
    exact = binomtest(3, 20).proportion_ci(method="exact")
    assert (found.value, found.low, found.high) == pytest.approx((3 / 20, exact.low, exact.high))
    assert memorized_share(np.ones((9, 2))).low == 0


def test_the_larger_side_is_cut_at_random_and_the_same_way_again() -> None:
    members = np.arange(100) < 70
    first, again = equal_sides(members, 3), equal_sides(members, 3)
    assert [len(side) for side in first] == [30, 30]
    assert all(members[first[0]])
    assert not any(members[first[1]])
    assert first[0].tolist() == again[0].tolist() != equal_sides(members, 4)[0].tolist()


def test_they_are_part_of_the_key_of_the_measure_stage_alone() -> None:
    """So rows that are added train, sample and attack nothing again."""
    plan = make_plan(parse_config(small()))
    cell = plan.cells[0]
    found = {
        stage.name
        for stage in STAGES
        for subject in stage.subjects(Subject(plan, cell))
        for module in {*stage.of(plan).code(subject), *with_imports(stage.of(plan).run.__module__)}
        if module.startswith("leakfront.results.distances.")
    }
    assert found == {"measure"}
    assert [stage.of(plan).run for stage in STAGES] == [stage.run for stage in STAGES]  # nothing is given
