"""The rules of a gate on made-up rows: how often they err, and whether the sizes that they name would decide."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import binom

from leakfront.results.run.value import Value
from leakfront.results.statistics.counts import clopper_pearson, extracted_at_fdr, extracted_interval
from leakfront.results.statistics.roc import tpr_interval
from leakfront.results.verdict.gate import Rule, default_gate
from leakfront.results.verdict.judge import Outcome, _judged, outcome
from leakfront.results.verdict.sizes import would_decide

SHARE = Rule(metric="extracted_at_fdr", at_most=0.01, share=True)
TPR = Rule(metric="tpr_at_fpr", level=0.01, at_most=0.03)


def counted(k: int, n: int) -> Value:
    low, high = clopper_pearson(k, n)
    return Value(float(k), n * low, n * high, n, "Clopper-Pearson, …")


def how_often(rule: Rule, of: Callable[[int], Value], n: int, p: float) -> dict[Outcome, float]:
    """The probability of each outcome when k of n are found, each with probability p: an exact sum."""
    found: Counter[Outcome] = Counter()
    for k in range(n + 1):
        found[outcome(of(k), rule)] += binom.pmf(k, n, p)
    return dict(found)


@pytest.mark.parametrize("n", [100, 400, 2000])
def test_a_rule_errs_at_most_once_in_40(n: int) -> None:
    above = how_often(SHARE, lambda k: counted(k, n), n, 0.0101)
    assert above.get("pass", 0) <= 0.025
    at = how_often(SHARE, lambda k: counted(k, n), n, 0.01)
    assert at.get("fail", 0) <= 0.025


def test_a_rule_decides_what_lies_far_from_its_limit() -> None:
    assert how_often(SHARE, lambda k: counted(k, 2000), 2000, 0.001)["pass"] > 0.95
    assert how_often(SHARE, lambda k: counted(k, 2000), 2000, 0.05)["fail"] > 0.95


def test_a_number_without_an_interval_is_compared_as_it_is() -> None:
    bare = Rule(metric="members_before_decoys", at_most=4)
    for value, expected in ((4.0, "pass"), (5.0, "fail")):
        assert outcome(Value(value, math.nan, math.nan, 160, ""), bare) == expected
    warns = Rule(metric="dcr_share", at_most=0.55, warns=True)
    assert outcome(Value(0.6, 0.58, 0.62, 100, ""), warns) == "warning"
    assert outcome(Value(0.56, 0.54, 0.58, 100, ""), warns) == "undecided"


@pytest.mark.parametrize("numbers", [1, 2, 3, 6, 30])
def test_members_before_decoys_fail_a_harmless_model_as_seldom_by_many_attacks_as_by_one(numbers: int) -> None:
    """A fair coin for each image in order of rank: k members before the first decoy have probability 2 ** -(k + 1)."""
    rule = next(rule for rule in default_gate().rules if rule.metric == "members_before_decoys")
    counts = np.random.default_rng(0).geometric(0.5, size=(8000, numbers)) - 1
    values = [[Value(float(k), math.nan, math.nan, 160, "") for k in row] for row in counts]
    outcomes = Counter(_judged(rule, [("attack", "0", value) for value in row]).outcome for row in values)
    assert outcomes["fail"] <= 8000 / 32 * 1.2
    assert outcomes["undecided"] > 0 if numbers > 1 else outcomes["undecided"] == 0
    (copied,) = {_judged(rule, [("a", "0", v) for v in row] + [("a", "1", Value(30.0, math.nan, math.nan, 160, ""))])
                 .outcome for row in values[:50]}  # fmt: skip
    assert copied == "fail"


@pytest.mark.parametrize(("k", "n"), [(1, 320), (3, 640), (28, 2000), (25, 2000)])
def test_the_size_named_for_a_count_is_the_least_that_decides(k: int, n: int) -> None:
    value = counted(k, n)
    assert outcome(value, SHARE) == "undecided"
    size = would_decide(value, 0.01, share=True)
    assert size is not None
    share = k / n
    for members, expected in ((size, True), (int(size * 0.9), False)):
        again = counted(round(share * members), members)
        near = counted(round(share * members) - 1 if share < 0.01 else round(share * members) + 1, members)
        decided = {outcome(one, SHARE) != "undecided" for one in (again, near)}
        assert (True in decided) if expected else (outcome(again, SHARE) == "undecided")


def test_a_zero_is_decided_by_members_beside_whom_what_it_may_hide_is_few() -> None:
    """Chance matches as many members, whatever the pool's size: simulated at the size that is named."""
    rng = np.random.default_rng(0)

    def one(n: int) -> Value:
        members = rng.permutation(2 * n) < n
        found = extracted_at_fdr(rng.normal(size=2 * n), members)
        low, high = extracted_interval(found, members)
        return Value(float(found.count), low, high, n, "Clopper-Pearson, …")

    first = one(160)
    assert first.value == 0
    assert outcome(first, SHARE) == "undecided"
    size = would_decide(first, 0.01, share=True)
    assert size is not None
    outcomes = Counter(outcome(one(size), SHARE) for _ in range(60))
    assert outcomes["pass"] >= 0.4 * 60
    half = Counter(outcome(one(size // 3), SHARE) for _ in range(60))
    assert half["pass"] < outcomes["pass"] / 2


def test_the_size_named_for_a_tpr_decides_about_half_of_the_time() -> None:
    """Without any leak the TPR is 1%; the interval of so few decoys reaches past 3%."""
    rng = np.random.default_rng(1)

    def one(n: int) -> Value:
        members = np.arange(2 * n) < n
        found = tpr_interval(rng.normal(size=2 * n), members, 0.01, seed=0, draws=200)
        return Value(found.value, found.low, found.high, n, found.method)

    small = [one(320) for _ in range(8)]
    undecided = [value for value in small if outcome(value, TPR) == "undecided"]
    assert len(undecided) >= 4
    sizes = [size for value in undecided if (size := would_decide(value, 0.03, share=False)) is not None]
    assert 400 < np.median(sizes) < 20_000
    outcomes = Counter(outcome(one(int(np.median(sizes))), TPR) for _ in range(12))
    assert outcomes["pass"] >= 3
    assert outcomes["fail"] == 0


def test_no_size_decides_a_value_at_its_limit() -> None:
    assert would_decide(Value(0.03, 0.01, 0.05, 300, ""), 0.03, share=False) is None
    assert would_decide(Value(3.0, 0.5, 9.0, 300, "Clopper-Pearson"), 0.01, share=True) is None


def test_an_interval_of_another_kind_shrinks_with_the_root_of_the_size() -> None:
    assert would_decide(Value(0.02, 0.0, 0.06, 100, ""), 0.03, share=False) == 1600
    assert would_decide(Value(0.05, 0.02, 0.08, 100, ""), 0.04, share=False) == 900


def test_the_default_rules_are_those_of_the_documentation() -> None:
    limits = {(rule.metric, rule.level): (rule.at_most, rule.warns) for rule in default_gate().rules}
    assert limits == {
        ("members_before_decoys", None): (4, False),
        ("extracted_at_fdr", 0.05): (0.01, False),
        ("members_ratio", None): (0, False),
        ("tpr_at_fpr", 0.01): (0.03, False),
        ("dcr_share", None): (0.55, True),
    }
