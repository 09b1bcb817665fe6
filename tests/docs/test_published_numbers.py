"""Every number that a page states as a result is one that a published row holds."""

from __future__ import annotations

import re

import pytest

from leakfront.attacks.suites import SUITES
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.trainings import longest_of, models_of
from leakfront.harness.settings.file import load_config
from tests.docs import published_numbers
from tests.docs.markdown import PAGES, read
from tests.docs.marks import Number, blocks, numbers
from tests.docs.published_numbers import agrees, rewritten, value

# pages whose numbers are of other kinds, unless a mark says otherwise
OTHERS = {
    "CONTRIBUTING.md": "settings in examples",
    "CHANGELOG.md": "results of earlier versions, and benchmarks",
    "docs/add-a-defense.md": "settings",
    "docs/add-an-attack.md": "settings",
    "docs/attack-strength.md": "published/attack-strength, held by test_pages.py",
    "docs/attack-your-model.md": "settings, and benchmarks on models of the tests",
    "docs/cluster.md": "settings",
    "docs/command-line.md": "settings",
    "docs/coverage.md": "simulations, held by the slow tests",
    "docs/decide-on-a-release.md": "settings and rules",
    "docs/distance-metrics.md": "benchmarks.rare_copies",
    "docs/python.md": "settings in examples",
    "docs/quickstart.md": "settings in examples",
    "docs/reliability.md": "stress tests, limits, and benchmarks.reproducibility",
    "docs/speed.md": "timings of benchmarks, and counts held by tests/benchmarks",
    "docs/studies.md": "settings and levels of tests",
    "docs/text-to-image.md": "settings, and published/planted-captions, held by test_pages.py; the rest is marked",
}
TEXT = """Nothing of 27.3 images, 26.0 of them
planted 12 times (5% FDR). <!-- digits: none: extracted_at_fdr@0.05;
none: planted_extracted_at_fdr@0.05; config data.duplicates.copies -->

| defense | FID | AUC |
|---|---|---|
| plain | 2.85 [2.22, 3.48] | 0.86 |
| noise | 46.8 | – |

<!-- digits table: none; dp_sgd epsilon=1 | ROW: fid_digits_frozen; ROW: auc (lira_difference) -->

* FID is `7` 30 to 47.
  <!-- digits: min dp_sgd *: fid_digits_frozen; max dp_sgd *: fid_digits_frozen -->
* 94% of draws, 200 times. <!-- digits: digits-v2! none: set_detected_members@10;
  dedup: training_model_calls / dedup: training_images -->
"""


def found(page: str) -> list[Number]:
    return [number for block in blocks(page, read(page)) for number in numbers(block)]


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md"])
def test_every_number_is_in_a_published_row(page: str) -> None:
    for number in found(page):
        if not number.origin:
            assert page in OTHERS, f"{number}: add a mark, as tests/docs/published_numbers.py says"
            continue
        wanted = value(number)
        assert wanted is None or agrees(number.text, wanted), f"{number}: the rows have {wanted:.6g}"


def test_a_page_is_rewritten_by_the_rows() -> None:
    assert rewritten("page", TEXT) == TEXT
    for right, wrong in {"27.3": "27.2", "26.0": "2.0", "12 times": "13 times", "2.22": "2.23", "46.8": "4.8",
                         "47.": "48.", "94%": "9%", "200 times": "1,200 times"}.items():  # fmt: skip
        changed = TEXT.replace(right, wrong)
        assert changed != TEXT
        assert rewritten("page", changed) == TEXT


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("12 times", "12 times in 7 runs"), ("[2.22, 3.48]", "[2.22]"), ("| noise | 46.8 | – |\n", ""),
     ("none; dp_sgd", "none; dedup; dp_sgd"), ("planted_extracted_at_fdr@0.05", "planted_extracted_at_fdr@0.06"),
     ("(lira_difference)", "(lira*)"), ("digits-v2!", "digits-v3!"),
     ("config data.duplicates.copies", "config data.x")],
)  # fmt: skip
def test_a_mark_that_does_not_fit_is_refused(right: str, wrong: str) -> None:
    assert right in TEXT
    with pytest.raises((ValueError, KeyError, FileNotFoundError)):
        rewritten("page", TEXT.replace(right, wrong, 1))


def test_numbers_without_a_mark_are_seen() -> None:
    (block,) = blocks("page", "An AUC of 0.93 at 5% FDR, 1,000 of 8 x 8 digits, 1e-3, −0.5, `7`, [12](13.md), v2.")
    assert [number.text for number in numbers(block)] == ["0.93", "1,000", "1e-3", "−0.5", "12"]


def test_the_front_attack_is_close_to_the_strongest() -> None:
    """In docs/read-the-results.md, of all models: the strongest attack exceeds the one in front by at most 0.03."""
    stated = re.search(
        r"exceeds the one in front by at most ([\d.]+) in AUC", " ".join(read("docs/read-the-results.md").split())
    )
    rows = published_numbers.rows("digits-v2")
    rows = rows[(rows["metric"] == "auc") & (rows["split"] == "all")]
    front = rows[rows["source"] == "lira_difference"].set_index(["defense", "params"])["value"]
    assert stated is not None
    assert agrees(stated[1], float((rows.groupby(["defense", "params"])["value"].max() - front).max()))
    digits = published_numbers.rows("digits")
    digits = digits[(digits["metric"] == "auc") & (digits["split"] == "all") & (digits["defense"] == "none")]
    assert digits.sort_values("value")["source"].iloc[-1] == "lira_difference"  # as README says


def test_the_suite_has_as_many_attacks_as_the_pages_say() -> None:
    assert len(SUITES["v2"]) == 31
    assert len(SUITES["quick-v2"]) == 9


def test_the_benchmark_of_all_defenses_is_as_large_as_the_page_says() -> None:
    plan, text = make_plan(load_config("defenses")), " ".join(read("docs/compare-defenses.md").split())
    trainings = len(longest_of(models_of(plan)))
    assert f"{len(plan.points)} strengths on 3 splits, {len(plan.cells)} cells. They need {trainings} trainings" in text
    lines = {point.line for point in plan.points}
    assert f"a panel for each of {len(lines - {'none'})} defenses" in text


def test_every_other_page_exists() -> None:
    assert set(OTHERS) <= {*PAGES, "CHANGELOG.md"}
