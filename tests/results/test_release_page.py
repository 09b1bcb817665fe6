"""The release page, the section of a model card, and the numbers for machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from leakfront.results.page.release import model_card, numbers_for_machines, release_page
from leakfront.results.run.data import RunData
from leakfront.results.run.shareable import Shareable
from leakfront.results.run.shown_names import ShownNames
from leakfront.results.statistics.risk import residual_risk
from leakfront.results.verdict.gate import default_gate
from leakfront.results.verdict.judge import judge
from leakfront.results.verdict.release import Release, releases
from tests.synthetic_run import Strength, synthetic_run

ATTACKS = ("blind", "extraction", "loss", "inpainting", "dataset_inference")
SECRET = "ward 7 patient"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    folder = tmp_path_factory.mktemp("run")
    strengths = (Strength("none", copied=29, leak=1.1), Strength("dp_sgd", "epsilon=10", epsilon=10.0))
    synthetic_run(folder, strengths, splits=2, attacks=ATTACKS)
    (folder / "pool" / "names.txt").write_text("".join(f"{SECRET} {i}.png\n" for i in range(256)))
    return RunData(folder)


def of(run: RunData) -> list[Release]:
    return releases(run, judge(run, default_gate()))


@pytest.mark.parametrize(
    ("counts", "expected"), [((61, 320, 13, 320), 0.157), ((152, 320, 78, 320), 0.306), ((12, 320, 0, 320), 0.038)]
)
def test_the_residual_risk_is_that_of_its_definition(counts: tuple[int, int, int, int], expected: float) -> None:
    value, low, high, _ = residual_risk(*counts)
    assert value == pytest.approx(expected, abs=1e-3)
    assert low < value < high


def test_what_comes_first_is_what_was_tried_what_leaks_which_images_and_what_was_not_tried(run: RunData) -> None:
    page = release_page(run, of(run))
    titles = ["This page names private images", "Verdict: fail", "What was tried", "What leaks", "Which images",
              "What was not tried", "The rules of the gate", "In the words of regulators", "Facts"]  # fmt: skip
    assert [page.index(title) for title in titles] == sorted(page.index(title) for title in titles)
    assert f"{SECRET} " in page


def test_numbers_carry_their_meaning(run: RunData) -> None:
    none, private = of(run)
    leaks = " ".join(none.leaks)
    rows = run.rows[(run.rows["metric"] == "tpr_at_fpr") & (run.rows["level"] == 0.01) & (run.rows["cell"] != "")]
    rows = rows[(rows["defense"] == "none") & (rows["source"] != "blind")]
    assert (
        f"Of 1,000 patients whose images were used for training it names about {1000 * rows['value'].max():,.0f}"
        in leaks
    )
    assert "; up to " in leaks
    facts = dict(private.facts)
    assert facts["epsilon claimed"] == "ε = 10, δ = 1e-05, per training image"
    assert facts["epsilon audited"].startswith("at least")
    assert dict(none.facts)["epsilon claimed"] == "none is claimed"
    assert facts["unit of privacy"] == "one image"


def test_each_of_the_three_risks_is_there(run: RunData) -> None:
    none, _ = of(run)
    assert {risk for risk, _, _ in none.risks} == {"singling out", "linkability", "inference"}
    rows = run.rows[(run.rows["defense"] == "none") & (run.rows["cell"] != "")].groupby("metric")
    members, decoys = (rows.get_group(f"{side}_adaptive") for side in ("members", "decoys"))
    r_m, r_d = (side["value"].sum() / side["n"].sum() for side in (members, decoys))
    (adaptive,) = (text for _, by, text in none.risks if by == "extraction by the adaptive rule")
    assert adaptive.startswith(f"{(r_m - r_d) / (1 - r_d):.3f} [")


def test_without_inpainting_inference_was_not_tried(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, splits=1, attacks=("extraction", "loss"))
    assert ("inference", "inpainting", "not tried") in of(run)[0].risks


def test_the_model_card_says_the_same_and_machines_read_the_numbers(run: RunData) -> None:
    import yaml
    from huggingface_hub import parse_eval_result_entries

    found = of(run)
    card = model_card(run, found)
    assert card.startswith("## Privacy of the training images")
    assert "**Verdict: fail**" in card
    assert "### dp\\_sgd (epsilon=10)" in card
    entries = parse_eval_result_entries(yaml.safe_load(numbers_for_machines(run, found)))
    assert [entry.task_id for entry in entries[:3]] == [
        "extracted_members", "membership_tpr_at_1_percent_fpr", "membership_auc",
    ]  # fmt: skip
    assert entries[0].value == found[0].numbers[0][1] > 20


def test_the_shareable_one_names_no_file(run: RunData) -> None:
    names = ShownNames(frozenset(), frozenset(), frozenset({"none", "dp_sgd"}), frozenset())
    shared = Shareable(run, names)
    found = of(shared)
    for text in (release_page(shared, found), model_card(shared, found), numbers_for_machines(shared, found)):
        assert SECRET not in text
    assert "names private images" not in release_page(shared, found)
    assert "reported at 5% FDR: image " in release_page(shared, found)
