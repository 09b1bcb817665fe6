"""The statistics: each against an independent implementation or by hand; coverage is in test_coverage.py."""

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest, norm, ttest_rel
from sklearn.metrics import roc_auc_score
from sklearn.metrics import roc_curve as sklearn_roc_curve

from leakfront.results.statistics.counts import (
    clopper_pearson,
    excess_interval,
    extracted_at_fdr,
    extracted_interval,
    unique_expected,
    unique_observed,
)
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.front import front_probability, pareto_front
from leakfront.results.statistics.roc import auc, auc_interval, roc_band, roc_curve, tpr_at_fpr, tpr_interval
from leakfront.results.statistics.splits import apart_without_variance, holm, over_splits, paired_test


def pool(size: int, separation: float, seed: int, levels: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Normal scores, members' higher by `separation`; rounded to whole `levels` they have ties."""
    rng = np.random.default_rng(seed)
    members = rng.random(size) < 0.5
    scores = rng.standard_normal(size) + separation * members
    return (scores if levels is None else np.round(scores * levels)), members


pools = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=2, max_size=40).filter(
    lambda images: len({member for _, member in images}) == 2
)


def unzip(images: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score for score, _ in images], dtype=float), np.array([member for _, member in images])


# ROC


@given(pools)
def test_auc_and_curve_are_those_of_scikit_learn(images: list[tuple[int, bool]]) -> None:
    scores, members = unzip(images)
    assert auc(scores, members) == pytest.approx(roc_auc_score(members, scores), abs=1e-12)
    ours, theirs = roc_curve(scores, members), sklearn_roc_curve(members, scores, drop_intermediate=False)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b)


@given(pools)
def test_auc_is_the_share_of_pairs_in_order_with_ties_for_half(images: list[tuple[int, bool]]) -> None:
    scores, members = unzip(images)
    pairs = [(m > d) + (m == d) / 2 for m, d in itertools.product(scores[members], scores[~members])]
    assert auc(scores, members) == pytest.approx(np.mean(pairs))


@given(pools)
def test_swapped_coins_mirror_the_auc(images: list[tuple[int, bool]]) -> None:
    scores, members = unzip(images)
    assert auc(scores, ~members) == pytest.approx(1 - auc(scores, members))
    assert auc(-scores, members) == pytest.approx(1 - auc(scores, members))


@given(pools, st.floats(0, 1))
def test_tpr_at_fpr_is_the_best_threshold_that_keeps_the_fpr(images: list[tuple[int, bool]], fpr: float) -> None:
    scores, members = unzip(images)
    tpr, threshold = tpr_at_fpr(scores, members, fpr)
    if fpr < 1 / np.count_nonzero(~members):
        assert math.isnan(tpr)
        assert math.isnan(threshold)
        return
    kept = [x for x in [np.inf, *scores] if np.mean(scores[~members] >= x) <= fpr]
    assert threshold == min(kept)
    assert tpr == np.mean(scores[members] >= threshold)


def test_tpr_takes_ties_whole_and_never_the_nearest_threshold() -> None:
    scores = np.array([3.0, 2, 2, 2, 1, 1])
    members = np.array([True, True, False, False, True, False])
    assert tpr_at_fpr(scores, members, 0.6) == pytest.approx((1 / 3, 3))  # 2/3 is nearer, and too high
    assert tpr_at_fpr(scores, members, 0.67) == pytest.approx((2 / 3, 2))
    assert tpr_at_fpr(np.ones(6), members, 0.5) == (0.0, np.inf)  # all alike: only "nobody" keeps the rate


def test_an_fpr_of_k_in_n_lets_k_decoys_pass() -> None:
    for n in (3, 10, 30, 49, 1000):
        scores, members = np.arange(2 * n, dtype=float), np.arange(2 * n) % 2 == 1
        for k in (1, 2, 3):
            _, threshold = tpr_at_fpr(scores, members, k / n)
            assert np.count_nonzero(scores[~members] >= threshold) == k


def test_unusable_input_is_refused_with_its_cause() -> None:
    coins = np.array([True, False, True, False])
    calls: list[Callable[[np.ndarray, np.ndarray], object]] = [
        auc,
        roc_curve,
        extracted_at_fdr,
        lambda s, m: tpr_at_fpr(s, m, 0.5),
        lambda s, m: auc_interval(s, m, 0),
        lambda s, m: roc_band(s, m, np.array([0.5]), 0),
    ]
    for call in calls:
        with pytest.raises(ValueError, match="2 of 4 scores are not finite"):
            call(np.array([0, np.nan, np.inf, 1]), coins)
        with pytest.raises(ValueError, match="must be of one length"):
            call(np.zeros(3), coins)
        with pytest.raises(ValueError, match="must be bool"):
            call(np.zeros(4), coins.astype(int))
        with pytest.raises(ValueError, match="both members and decoys"):
            call(np.zeros(4), np.ones(4, dtype=bool))
    with pytest.raises(ValueError, match="must lie in"):
        tpr_at_fpr(np.zeros(4), coins, 1.5)


def test_the_bootstrap_interval_is_that_of_resampling_by_hand() -> None:
    scores, members = pool(120, 1.0, 3, levels=2)
    rng = np.random.default_rng(0)
    areas, tprs = [], []
    for _ in range(2000):
        m = rng.choice(scores[members], members.sum())
        d = rng.choice(scores[~members], (~members).sum())
        areas.append(np.mean(np.sign(m[:, None] - d) / 2 + 0.5))
        tprs.append(max(np.mean(m >= x) if np.mean(d >= x) <= 0.4 else 0 for x in [*np.unique(scores), np.inf]))
    unseen = 1 - 0.025 ** (1 / min(members.sum(), (~members).sum()))
    low, high = np.quantile(areas, [0.025, 0.975])
    ours = auc_interval(scores, members, seed=1, draws=2000)
    area = auc(scores, members)
    assert ours.low == pytest.approx(area - math.sqrt((area - low) ** 2 + (area * unseen) ** 2), abs=0.01)
    assert ours.high == pytest.approx(area + math.sqrt((high - area) ** 2 + ((1 - area) * unseen) ** 2), abs=0.01)
    assert tpr_interval(scores, members, 0.4, seed=1).high == pytest.approx(np.quantile(tprs, 0.975), abs=0.03)


def test_intervals_hold_their_value_and_repeat_with_their_seed() -> None:
    scores, members = pool(300, 0.7, 0)
    one, again, other = (auc_interval(scores, members, seed) for seed in (0, 0, 1))
    assert one == again != other
    assert one.low < one.value < one.high
    assert one.value == auc(scores, members)
    for fpr in (0.01, 0.1, 0.5):
        tpr = tpr_interval(scores, members, fpr, 0)
        assert tpr.value == tpr_at_fpr(scores, members, fpr)[0]
        assert tpr.low <= tpr.value < tpr.high


@pytest.mark.parametrize("n", [5, 50, 500])
def test_perfect_separation_is_still_uncertain(n: int) -> None:
    members = np.repeat([True, False], n)
    area = auc_interval(members * 1.0, members, 0)
    assert area.value == area.high == 1
    assert area.low == pytest.approx(binomtest(n, n).proportion_ci().low)
    mirrored = auc_interval(members * 1.0, ~members, 0)
    assert (mirrored.low, mirrored.high) == pytest.approx((0, 1 - area.low))
    found, none = tpr_interval(members * 1.0, members, 0.8, 0), tpr_interval(members * -1.0, members, 0.8, 0)
    assert (found.value, none.value) == (1, 0)
    assert found.low <= binomtest(n, n).proportion_ci().low + 1e-12
    assert none.high >= binomtest(0, n).proportion_ci().high - 1e-12


def test_a_threshold_placed_by_one_decoy_has_no_lower_end() -> None:
    members = np.repeat([True, False], 100)
    assert tpr_interval(members * 1.0, members, 0.01, 0).low == 0
    assert tpr_interval(members * 1.0, members, 0.05, 0).low > 0.9
    unattainable = tpr_interval(members * 1.0, members, 0.001, 0)
    assert np.isnan([unattainable.value, unattainable.low, unattainable.high]).all()
    assert unattainable.method == "not attainable with 100 decoys"


def test_the_roc_band_is_the_tpr_interval_at_every_point() -> None:
    scores, members = pool(400, 1.0, 0, levels=5)
    grid = np.logspace(-3, 0, 25)
    band = np.stack(roc_band(scores, members, grid, seed=4), axis=1)
    for fpr, point in zip(grid, band, strict=True):
        np.testing.assert_allclose(point, tpr_interval(scores, members, fpr, seed=4)[:3])
    shown = grid >= 1 / np.count_nonzero(~members)
    assert (np.isnan(band).any(axis=1) == ~shown).all()
    assert (np.diff(band[shown], axis=0) >= 0).all()


# Counts


@given(st.integers(0, 300), st.integers(0, 300), st.sampled_from([0.9, 0.95, 0.975]))
def test_clopper_pearson_is_that_of_scipy(a: int, b: int, level: float) -> None:
    k, n = min(a, b), max(a, b)
    expected = binomtest(k, n).proportion_ci(level, method="exact") if n else (0.0, 1.0)
    assert clopper_pearson(k, n, level) == pytest.approx(tuple(expected), abs=1e-12)


@pytest.mark.parametrize("n", [1, 7, 40])
def test_clopper_pearson_covers_every_probability(n: int) -> None:
    intervals = [clopper_pearson(k, n) for k in range(n + 1)]
    for p in np.linspace(0, 1, 101):
        covered = sum(float(binom.pmf(k, n, p)) for k, (low, high) in enumerate(intervals) if low <= p <= high)
        assert covered >= 0.95 - 1e-9


def test_the_excess_interval_covers_every_pair_of_probabilities() -> None:
    n_members, n_decoys = 12, 9
    ends = np.array(
        [[excess_interval(a, n_members, b, n_decoys)[1:] for b in range(n_decoys + 1)] for a in range(n_members + 1)]
    )
    for p, d in itertools.product(np.linspace(0, 1, 21), repeat=2):
        chance = np.outer(binom.pmf(range(n_members + 1), n_members, p), binom.pmf(range(n_decoys + 1), n_decoys, d))
        truth = n_members * (p - d)
        covered = chance[(ends[..., 0] <= truth + 1e-9) & (truth - 1e-9 <= ends[..., 1])].sum()
        assert covered >= 0.95


def test_the_excess_scales_decoys_to_the_members_and_zero_keeps_an_upper_bound() -> None:
    excess, low, high = excess_interval(30, 200, 5, 100)
    assert excess == 20
    assert low < 20 < high
    none, low, high = excess_interval(0, 500, 0, 500)
    assert none == 0
    assert -low == high == pytest.approx(500 * (1 - 0.0125 ** (1 / 500)))
    with pytest.raises(ValueError, match="both members and decoys"):
        excess_interval(0, 500, 0, 0)
    with pytest.raises(ValueError, match="got 6 of 5"):
        excess_interval(6, 5, 0, 5)


@given(pools, st.sampled_from([0.1, 0.25, 0.5]), st.sampled_from([0.2, 0.5, 0.75]))
def test_extraction_at_fdr_takes_the_loosest_threshold_that_fits(
    images: list[tuple[int, bool]], q: float, coin: float
) -> None:
    scores, members = unzip(images)
    count, threshold, mask, decoys_matched, possible, before_decoys = extracted_at_fdr(scores, members, q, coin)
    fits, fits_without_one = [], []
    for x in scores:
        matched, false = np.count_nonzero(members[scores >= x]), np.count_nonzero(~members[scores >= x])
        if matched and (1 + false) * (coin / (1 - coin)) / matched <= q + 1e-12:
            fits.append(x)
        if matched and false * (coin / (1 - coin)) / matched <= q + 1e-12:
            fits_without_one.append(x)
    np.testing.assert_array_equal(possible, members & (scores >= min(fits_without_one, default=np.inf)))
    assert before_decoys == np.count_nonzero(scores[members] > scores[~members].max())
    assert threshold == min(fits, default=np.inf)
    np.testing.assert_array_equal(mask, members & (scores >= threshold))
    assert count == mask.sum()
    assert decoys_matched == np.count_nonzero(~members & (scores >= threshold))


def test_fewer_than_one_in_q_cannot_be_reported() -> None:
    for n, expected in ((19, 0), (20, 20)):
        members = np.repeat([True, False], [n, 100])
        assert extracted_at_fdr(members * 1.0, members, q=0.05).count == expected
    for n, expected in ((179, 0), (180, 180)):  # 90% members: each match to a decoy stands for 9 to members
        members = np.repeat([True, False], [n, 20])
        assert extracted_at_fdr(members * 1.0, members, q=0.05, coin=0.9).count == expected


@pytest.mark.parametrize("coin", [0.5, 0.8])
def test_as_many_members_score_above_all_decoys_by_chance_as_heads_come_in_a_row(coin: float) -> None:
    rng = np.random.default_rng(6)
    runs = [extracted_at_fdr(rng.random(200), rng.random(200) < coin, coin=coin).before_decoys for _ in range(4000)]
    for k in (1, 3, 6):
        assert np.mean(np.array(runs) >= k) == pytest.approx(coin**k, abs=4 * math.sqrt(coin**k / 4000))


def test_a_zero_leaves_open_what_stands_above_every_decoy() -> None:
    """15 members above all decoys are too few to be reported at 5% FDR, and yet no reason to bound the count by 3.7."""
    members = np.repeat([True, False], 160)
    scores = np.where(np.arange(320) < 15, 2.0, np.where(np.arange(320) == 200, 1.0, 0.0))
    found = extracted_at_fdr(scores, members)
    assert found.count == 0
    assert extracted_interval(found, members) == (0, pytest.approx(160 * binomtest(15, 160).proportion_ci().high))
    among = np.arange(320) < 10
    assert extracted_interval(found, among) == (0, pytest.approx(10))
    assert extracted_interval(found, members & ~among)[1] == pytest.approx(150 * binomtest(5, 150).proportion_ci().high)
    nothing = extracted_at_fdr(-scores, members)
    assert extracted_interval(nothing, members)[1] == pytest.approx(160 * binomtest(0, 160).proportion_ci().high)
    twenty = extracted_at_fdr(np.where(np.arange(320) < 20, 2.0, 0.0), members)
    assert twenty.count == 20
    assert extracted_interval(twenty, members) == pytest.approx(
        tuple(160 * end for end in binomtest(20, 160).proportion_ci())
    )


@pytest.mark.parametrize("coin", [0.3, 0.5, 0.8])
def test_the_false_discovery_rate_is_kept_whatever_the_coin(coin: float) -> None:
    """40 images leak when they are members; the scores of 260 others know nothing of their coins."""
    rng = np.random.default_rng(5)
    shares, corrected_wrongly, found = [], [], []
    for _ in range(600):
        members = rng.random(300) < coin
        leaks = np.arange(300) < 60
        scores = rng.standard_normal(300) + 2.5 * (leaks & members)
        got = extracted_at_fdr(scores, members, q=0.2, coin=coin)
        shares.append(np.count_nonzero(got.mask & ~leaks) / max(got.count, 1))
        found.append(got.count)
        wrong = extracted_at_fdr(scores, members, q=0.2, coin=1 - coin)
        corrected_wrongly.append(np.count_nonzero(wrong.mask & ~leaks) / max(wrong.count, 1))
    error = np.std(shares) / math.sqrt(len(shares))
    assert np.mean(shares) <= 0.2 + 3 * error
    assert np.mean(shares) > 0.1  # the rate allowed is used
    assert np.mean(found) > 10
    if coin == 0.8:
        assert np.mean(corrected_wrongly) > 0.3


def test_fresh_samples_find_what_the_rates_predict() -> None:
    rates = np.array([0.0, 0.2, 0.5, 0.2, 1.0, 1e-12])
    for m in (0, 1, 3, 10):
        expected = sum(1 - (1 - p) ** m for p in rates[:5]) + m * 1e-12
        assert unique_expected(rates, np.array([m]))[0] == pytest.approx(expected, rel=1e-9)
    assert unique_expected(np.array([1e-12]), np.array([1000]))[0] == pytest.approx(1e-9, rel=1e-6)
    with pytest.raises(ValueError, match="rates must lie"):
        unique_expected(np.array([1.1]), np.array([1]))


@given(st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_unique_images_are_counted_in_the_order_of_the_samples(samples: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pairs, matched, of = rng.integers(0, 8, (samples, 3)), rng.random((samples, 3)) < 0.2, rng.random(8) < 0.5
    at = np.arange(samples + 1)
    expected = [len({int(image) for image in pairs[:m][matched[:m]] if of[image]}) for m in at]
    assert unique_observed(pairs, matched, of, at).tolist() == expected


# Over splits


def test_several_splits_give_students_interval() -> None:
    values = [3.0, 5.0, 10.0]
    mean, low, high, method = over_splits(values, [2, 4, 9], [4, 6, 11])
    half = 4.302652729911275 * np.std(values, ddof=1) / math.sqrt(3)  # the 97.5% quantile of t with 2 degrees
    assert (mean, low, high) == pytest.approx((6, 6 - half, 6 + half))
    assert method == "t over 3 splits"
    assert over_splits(values, values, values, floor=0).low == 0
    assert over_splits(values, values, values, ceiling=10).high == 10


def test_close_splits_do_not_make_the_mean_surer_than_their_sampling_errors() -> None:
    values, lows, highs = [5.0, 5.1, 4.9], [4.0, 3.1, 3.9], [6.0, np.nan, 7.9]
    error_of_mean = math.sqrt(1 + 4 + 1) / 3, math.sqrt(1 + 9) / 3
    errors_are_one = (1 + 2 + 1) / 3, (1 + 3) / 3

    def interval(floor: float | None, ceiling: float | None) -> tuple[float, float, float]:
        return over_splits(values, lows, highs, floor, ceiling)[:3]

    for far in ((None, None), (2.3, 7.7)):
        assert interval(*far) == pytest.approx((5, 5 - error_of_mean[0], 5 + error_of_mean[1]))
    assert interval(2.3, 7.6) == pytest.approx((5, 5 - errors_are_one[0], 5 + error_of_mean[1]))
    assert interval(2.4, 7.7) == pytest.approx((5, 5 - error_of_mean[0], 5 + errors_are_one[1]))


def test_one_split_speaks_only_for_itself() -> None:
    assert over_splits([3.0], [1.0], [4.0]) == Estimate(3, 1, 4, "within 1 split")
    alone = over_splits([np.nan, 3.0, np.inf], [0, 1, 0], [9, 4, 9])
    assert alone == Estimate(3, 1, 4, "within 1 split, 2 left out")
    assert over_splits([np.nan, 3.0, 5.0], [0, 1, 0], [9, 4, 9]).method == "t over 2 splits, 1 left out"
    none = over_splits([np.nan], [0], [1])
    assert np.isnan([none.value, none.low, none.high]).all()
    assert none.method == "no finite split, 1 left out"


def test_splits_that_agree_exactly_do_not_make_the_interval_collapse() -> None:
    agree = over_splits([0.0, 0.0, 0.0], [0.0, np.nan, 0.0], [4.0, np.nan, 5.0])
    assert agree == Estimate(0, 0, 5, "hull of intervals within 3 equal splits")
    with pytest.raises(ValueError, match="2 values with 1 low"):
        over_splits([1, 2], [0], [3, 3])


def test_the_paired_test_is_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal(6), rng.standard_normal(6) + 1
    p, difference = paired_test(a, b)
    assert p == pytest.approx(ttest_rel(a, b).pvalue)
    assert difference == pytest.approx(np.mean(a) - np.mean(b))
    assert paired_test(b, a) == pytest.approx((p, -difference))
    holed = a.copy()
    holed[2] = np.nan
    kept = np.arange(6) != 2
    assert paired_test(holed, b)[0] == pytest.approx(ttest_rel(a[kept], b[kept]).pvalue)


def test_pairs_without_variance_prove_little() -> None:
    assert paired_test([1, 2, 3], [1, 2, 3]) == (1, 0)
    assert paired_test([6, 7, 8], [1, 2, 3]) == (0.25, 5)  # all 3 signs alike: 2 of the 8 sign patterns
    p, difference = paired_test([1.0, np.nan], [3.0, 1.0])
    assert math.isnan(p)
    assert difference == -2
    assert np.isnan(paired_test([np.nan], [1.0])).all()
    with pytest.raises(ValueError, match="are not pairs"):
        paired_test([1, 2], [1])


def test_a_paired_test_is_no_surer_than_the_sampling_error_lets_it() -> None:
    a, b = np.array([21.0, 22.0, 21.5]), np.array([1.0, 2.5, 1.0])
    plain, difference = paired_test(a, b)
    wide = (a - 12, a + 1), (b - 1, b + 16)  # the sides that face each other make errors of 20 in 95% of cases
    assert paired_test(a, b, *wide) == (pytest.approx(2 * norm.sf(difference / (20 / 1.959964))), difference)
    assert paired_test(b, a, *wide[::-1]) == (pytest.approx(2 * norm.sf(difference / (20 / 1.959964))), -difference)
    assert plain < 0.01 < paired_test(a, b, *wide)[0]
    unknown = np.full(3, np.nan)
    for narrow in (((a, a), (b, b)), ((unknown, unknown), (unknown, unknown)), ((a - 0.1, a), (b, b + 0.1))):
        assert paired_test(a, b, *narrow) == (plain, difference)
    assert math.isnan(paired_test([1.0], [2.0], ([0.0], [2.0]), ([1.0], [3.0]))[0])


def test_intervals_apart_count_only_where_all_splits_are_equal() -> None:
    none, some = [0.0, 0.0, 0.0], [27.0, 33.0, 22.0]
    assert apart_without_variance(some, none, (12, 42), (0, 4))
    assert apart_without_variance(none, some, (0, 4), (12, 42))
    assert not apart_without_variance(some, none, (3, 42), (0, 4))
    assert not apart_without_variance(some, [0.0, 0.0, 1.0], (12, 42), (0, 4))


def test_holm_by_hand() -> None:
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])
    np.testing.assert_allclose(holm([0.5, 0.9, 0.6]), [1, 1, 1])
    np.testing.assert_allclose(holm([np.nan, 0.02, 0.04]), [np.nan, 0.04, 0.04])
    assert holm([]).shape == (0,)
    with pytest.raises(ValueError, match="must lie in"):
        holm([1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.floats(0.01, 0.5))
def test_holm_rejects_what_its_steps_reject(p_values: list[float], level: float) -> None:
    remaining = sorted(range(len(p_values)), key=p_values.__getitem__)
    rejected = set()
    while remaining and p_values[remaining[0]] * len(remaining) <= level:
        rejected.add(remaining.pop(0))
    assert set(np.flatnonzero(holm(p_values) <= level)) == rejected


# The front

points = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12)


@given(points)
def test_the_front_is_what_nobody_beats(pairs: list[tuple[int, int]]) -> None:
    expected = [not any(a <= x and b <= y and (a, b) != (x, y) for a, b in pairs) for x, y in pairs]
    x, y = np.array(pairs).T
    assert pareto_front(x, y).tolist() == expected


def test_a_defense_without_a_number_is_not_on_the_front() -> None:
    assert pareto_front(np.array([np.nan, 1, 2]), np.array([0, np.nan, 3])).tolist() == [False, False, True]
    with pytest.raises(ValueError, match="of one length"):
        pareto_front(np.zeros(2), np.zeros(3))


@given(points)
@settings(max_examples=30)
def test_without_error_the_probability_is_the_front_itself(pairs: list[tuple[int, int]]) -> None:
    x, y = np.array(pairs).T
    unknown = np.full(len(pairs), np.nan)
    assert front_probability(x, unknown, unknown, y, y, y, seed=0).tolist() == pareto_front(x, y).tolist()


def test_the_chance_to_be_on_the_front_is_that_of_the_normal_errors() -> None:
    x = np.array([10.0, 10.0])
    y, half = np.array([100.0, 103.0]), np.array([2.0, 4.0]) * norm.isf(0.025)  # sd 2 and 4: first is lower by 3
    chance = front_probability(x, x, x, y, y - half, y + half, seed=0, draws=20_000)
    assert chance[0] == pytest.approx(norm.cdf(3 / math.sqrt(20)), abs=0.015)
    assert chance.sum() == pytest.approx(1)
    assert (chance == front_probability(x, x, x, y, y - half, y + half, seed=0, draws=20_000)).all()


def test_errors_do_not_reach_below_zero() -> None:
    zero, spread = np.zeros(2), np.full(2, 2.0)
    fid = np.array([1.0, 2.0])
    chance = front_probability(fid, fid, fid, zero, -spread, spread, seed=0, draws=20_000)
    assert chance[0] == 1  # the better FID is never beaten
    assert chance[1] == pytest.approx(3 / 8, abs=0.015)  # y strictly lower: first above 0 (1/2), and second lower (3/4)
