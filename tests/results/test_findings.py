"""Findings say what the rows say, no more, and name what could not be shown."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pandas as pd
import pytest

from leakfront.results.page.comparisons import Comparisons, Outcome
from leakfront.results.page.findings import Findings
from leakfront.results.page.findings import findings as compute
from leakfront.results.page.headline import family
from leakfront.results.report import combined, write_report
from leakfront.results.run.data import RunData
from leakfront.results.run.point import Point
from leakfront.results.run.value import Value
from leakfront.results.statistics.splits import holm, paired_test
from leakfront.results.tables.main import main_table
from leakfront.results.tables.table import number, shown
from tests.few_figures import as_svg, only
from tests.results.test_report import SMALL, row
from tests.synthetic_run import SET_SIZES, TWELVE, TWO, V1, Strength, synthetic_run

REASON = "left out: it needs 9 shadow models (other splits of the same defense), and there are 2"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return synthetic_run(tmp_path_factory.mktemp("two"), TWO)


@pytest.fixture(scope="module")
def twelve(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return synthetic_run(tmp_path_factory.mktemp("twelve"), TWELVE, pool=192, samples=200)


@pytest.fixture(scope="module")
def two_v1(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    folder = tmp_path_factory.mktemp("two_v1")
    return synthetic_run(folder, TWO, attacks=V1, suite="v1", left_out={"gsa1": REASON})


@pytest.fixture(scope="module")
def twelve_v1(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    folder = tmp_path_factory.mktemp("twelve_v1")
    return synthetic_run(folder, TWELVE, pool=256, samples=200, attacks=V1, suite="v1")


@cache
def findings(run: RunData) -> Findings:
    """The findings of a run, whose rows do not change."""
    return compute(run)


def headline(run: RunData) -> dict[str, str]:
    """The sentences by their subjects."""
    return {one.subject: one.text for one in findings(run).headline}


def sentence(run: RunData, start: str) -> str:
    """The sentence on the family whose subject starts so."""
    return next(text for subject, text in headline(run).items() if subject.startswith(start))


def changed(run: RunData, folder: Path, **info: object) -> RunData:
    """The same rows with another run.json."""
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({**run.info, **info}))
    run.rows.to_csv(folder / "results.csv", index=False, na_rep="nan")
    return RunData(folder)


# one strength, and the run as a whole --------------------------------------------------------------------------------


def finding(run: RunData, label: str) -> str:
    return next(one.text for one in findings(run).strengths if one.subject == label)


def everything(run: RunData) -> str:
    """All findings."""
    found = findings(run)
    return " ".join(map(str, (*found.cautions, *found.headline, *found.whole_run, *found.strengths)))


def test_a_finding_tells_extraction_quality_membership_and_audit(two: RunData) -> None:
    dedup = finding(two, "dedup (threshold=0.9)")
    high, fid = (
        row(two, "dedup", "threshold=0.9", "extraction", "extracted_at_fdr", level=0.05),
        two.summary.fid(Point("none", "")),
    )
    assert high["value"] == 0
    assert f"0 of 125 members extracted at 5% FDR, with a 95% interval up to {high['ci_high']:g}" in dedup
    closest = two.rows[
        (two.rows["defense"] == "dedup")
        & (two.rows["metric"] == "members_before_decoys")
        & (two.rows["split"] != "all")
    ]["value"]
    first, second, third = (f"{value:g}" for value in closest)
    assert f"({first}, {second} and {third} matched more closely than any decoy; under the fixed rule" in dedup
    assert fid is not None
    assert f"against {fid.value:.3g} for none" in dedup
    assert "membership inference still works" in dedup
    assert "audited epsilon at least" in dedup
    assert "the highest of 4 is " in finding(two, "none")
    assert ", 4 of 4 attacks are above guessing" in finding(two, "none")


def test_every_strength_has_a_paragraph_and_the_whole_run_its_own(two: RunData) -> None:
    found = findings(two)
    assert [one.subject for one in found.strengths] == [s.label for s in TWO]
    assert found.whole_run[0].text.startswith("On the front")
    assert not {one.subject for one in found.whole_run} & {s.label for s in TWO}
    assert found.cautions == ()


def test_fewer_images_is_claimed_only_over_three_splits(two: RunData, tmp_path: Path) -> None:
    assert "for none (fewer, " in finding(two, "dedup (threshold=0.9)")
    run = synthetic_run(tmp_path, TWO, splits=2, **SMALL)
    text = everything(run)
    assert not re.search(r"\((fewer|more|better|worse|no difference)", text)
    assert "On the front" not in text
    assert "no difference between them and another defense is claimed" in text


def test_an_auc_interval_that_covers_a_half_is_not_called_membership_inference(twelve: RunData) -> None:
    summary = twelve.summary
    silent = [
        p for p in summary.points
        if all(not v.above(0.5) for a in summary.attacks if (v := summary.value(p, a, "auc")) is not None)
    ]  # fmt: skip
    assert silent
    for point in silent:
        assert "no attack of 4 is above guessing" in finding(twelve, point.label)
        assert "still works" not in finding(twelve, point.label)


def test_what_the_weights_give_past_a_guard_is_shown_beside_what_is_served(twelve: RunData, two: RunData) -> None:
    table = main_table(twelve)
    column = next(c for c in table.columns if c.key == "extracted_with_weights")
    for point, entry in zip(twelve.summary.points, column.entries, strict=True):
        assert (entry is not None) == (point.defense in ("guidance", "filter"))
        assert entry is None or (isinstance(entry, Value) and entry.value == 29)
    served = next(c for c in table.columns if c.key == "extracted").title
    assert served == "Extracted, 5% FDR"
    text = finding(twelve, "filter (distance=0.1)")
    assert "; 29 [26, 32] from the weights, past what guards the sampler" in text
    assert "extracted_with_weights" not in [c.key for c in main_table(two).columns]


def test_an_audit_above_the_claim_comes_before_everything_else(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, [TWO[0], Strength("dp_sgd", "epsilon=0.1", leak=1.5, epsilon=0.1)], **SMALL)
    (caution,) = findings(run).cautions
    assert caution.subject == "dp_sgd (epsilon=0.1)"
    assert "the guarantee does not hold as implemented" in caution.text
    info = json.loads((tmp_path / "run.json").read_text())
    info["guarantees"]["dp_sgd (epsilon=0.1)"]["delta"] = 1e-2  # larger than that of the audit: no contradiction
    (tmp_path / "run.json").write_text(json.dumps(info))
    assert "does not hold" not in everything(RunData(tmp_path))


def test_a_diverged_model_is_reported_and_the_others_are_drawn(tmp_path: Path) -> None:
    strengths = [*TWO, Strength("dp_sgd", "epsilon=1", epsilon=1.0, diverged=(0, 1, 2)),
                 Strength("dp_sgd", "epsilon=10", fid=200, epsilon=10.0, diverged=(1,))]  # fmt: skip
    run = synthetic_run(tmp_path / "run", strengths, **SMALL)
    with only("tradeoff"):
        text = (write_report([run], tmp_path / "report")).read_text()
    assert (
        "training diverged (split 0 at step 120, split 1 at step 121, split 2 at step 122); nothing was measured"
        in text
    )
    assert "training diverged (split 1 at step 121); the numbers are those of the other splits" in text
    lines = main_table(run).rows()
    splits = next(i for i, column in enumerate(main_table(run).printed) if column.key == "splits")
    assert [str(line[splits]) for line in lines] == ["3", "3", "0, 3 diverged", "2, 1 diverged"]
    assert (tmp_path / "report" / "figures" / "tradeoff.pdf").exists()


def test_what_chance_may_give_among_many_attacks_is_not_called_membership_inference(twelve_v1: RunData) -> None:
    """An interval above 0.5 is not enough: the test is corrected for all attacks on all models."""
    summary, few = twelve_v1.summary, 0
    attacks = [a for a in summary.attacks if a not in summary.controls]
    guessing = Comparisons(summary, summary.points).guessing
    assert guessing.count == len(attacks) * len(summary.points)
    for point in summary.points:
        above = sum(v.above(0.5) for a in attacks if (v := summary.value(point, a, "auc")) is not None)
        text = finding(twelve_v1, point.label)
        if above and not guessing.above(point):
            few += 1
            assert f"no attack of {len(attacks)} is above guessing" in text
            assert "still works" not in text
        elif guessing.above(point):
            assert f"{len(guessing.above(point))} of {len(attacks)} attacks are above guessing" in text
    assert few


def test_the_attack_named_before_the_run_stands_in_front_of_the_highest(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, TWO, in_front=("lira_difference", "pia"), pool=128, samples=150)
    summary, base = run.summary, Point("none", "")
    assert summary.in_front == "pia"  # the first that was made
    front, highest = summary.value(base, "pia", "auc"), summary.strongest(base, "auc")
    assert highest is not None
    text = headline(run)["The undefended model"]
    assert f"the AUC of pia is {shown(front, 2)} (above guessing)" in text
    assert f"the highest of 4 attacks is {shown(highest[1], 2)}" in text
    assert "pia was named as the attack in front before the run" in findings(run).terms
    assert finding(run, "none").count(f"pia AUC {shown(front, 2)}") == 1
    columns = {c.key: c for c in main_table(run).columns}
    assert columns["auc"].title == "AUC, pia"
    assert columns["auc"].entries[0] == front
    assert columns["highest_auc"].entries[0] == highest[1]
    outcome = Comparisons(summary, summary.points).outcome("auc", Point("dedup", "threshold=0.9"))
    splits = [[v.value for v in summary.per_split(p, "pia", "auc").values()] for p in (summary.points[1], base)]
    assert outcome is not None
    assert (outcome.sign != 0) == (paired_test(*splits)[0] < 0.05)


def test_an_auc_below_a_half_is_a_finding(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, [TWO[0], Strength("regularize", leak=-1.0)], pool=128, samples=150)
    found = {one.subject: one.text for one in findings(run).whole_run if one.subject.startswith("AUC below 0.5")}
    assert set(found) == {f"AUC below 0.5 ({attack})" for attack in ("loss", "pia", "secmi")}
    auc = run.summary.value(Point("regularize", ""), "loss", "auc")
    assert f"{shown(auc, 2)} on regularize. The attack takes members for decoys there" in found["AUC below 0.5 (loss)"]
    assert "3 below it" in finding(run, "regularize")
    assert not any(one.subject.startswith("AUC below") for one in findings(synthetic_run(tmp_path / "2")).whole_run)


def test_the_control_is_never_the_strongest_attack_and_its_success_is_a_finding(
    two_v1: RunData, tmp_path: Path
) -> None:
    assert "control" not in everything(two_v1).lower()
    attacks = ("blind", "extraction", "loss")
    run = synthetic_run(tmp_path, TWO, pool=128, samples=150, attacks=attacks, control_leak=4.0)
    summary = run.summary
    assert summary.controls == ["blind"]
    for point in summary.points:
        for metric, level in (("auc", None), ("tpr_at_fpr", 0.01), ("epsilon_lower_bound", None)):
            strongest = summary.strongest(point, metric, level)
            blind = summary.value(point, "blind", metric, level=level)
            assert strongest is not None
            assert blind is not None
            assert strongest[0] != "blind"
            assert strongest[1].value < blind.value
    (found,) = findings(run).cautions
    assert found.subject == "Control (blind)"
    assert "tells members from decoys for 6 of 6 models (none split 0, none split 1, none split 2," in found.text
    assert "1 interval in 20 misses" in found.text
    assert "2 of 2 attacks are above guessing" in finding(run, "none")


def test_the_finding_on_whole_sets_is_the_smallest_size_that_is_detected(two_v1: RunData, two: RunData) -> None:
    sets = ("none", "", "dataset_inference", "set_detected_members")
    shares = {size: row(two_v1, *sets, level=size)["value"] for size in SET_SIZES}
    enough = min(size for size, share in shares.items() if share >= 0.95)
    assert enough > min(SET_SIZES)
    text = next(one.text for one in findings(two_v1).whole_run if one.subject.startswith("Whole sets"))
    assert f"95% of them are detected from {enough} images on" in text
    assert f"{100 * shares[enough]:.0f}% of random sets of {enough} members, and 5% of sets of {enough} decoys," in text
    assert "Whole sets" not in everything(two)


# the headline -------------------------------------------------------------------------------------------------------


def test_each_family_of_defenses_has_one_sentence_and_there_are_at_most_five(twelve: RunData, tmp_path: Path) -> None:
    assert [subject.partition(" (")[0] for subject in headline(twelve)] == [
        "The undefended model", "Training procedure", "Private training", "Sampling guards"]  # fmt: skip
    places = {"dedup (threshold=0.9)": ["data"], "augment (policy=flip)": ["batches"], "distill": ["nothing", "magic"],
              "ambient (corruption=0.2)": ["data", "sampling"]}  # fmt: skip
    run = changed(twelve, tmp_path, acts_on={**twelve.info["acts_on"], **places})
    assert family(run, Point("ambient", "corruption=0.2")) == "Sampling guards"
    assert family(run, Point("dp_sgd", "epsilon=1")) == "Private training"
    subjects = list(headline(run))
    assert len(subjects) == 5
    assert subjects[0] == "Training data (dedup)"
    assert subjects[1] == "Training batches (augment)"
    assert subjects[-1].startswith("Sampling guards and others (ambient; guidance; filter; distill; 4 strengths")
    named = " ".join(subjects)
    assert all(s.defense in named for s in TWELVE if s.defense != "none")


def test_the_numbers_of_a_sentence_are_those_of_the_rows(twelve: RunData) -> None:
    summary, text = twelve.summary, sentence(twelve, "Private training")
    points = [p for p in summary.points if twelve.info["guarantees"][p.label]]
    fids = sorted((summary.fid(p) for p in points), key=lambda fid: fid.value)  # type: ignore[union-attr]
    base = Point("none", "")
    assert f"FID is {shown(fids[0])} to {shown(fids[-1])}, against {shown(summary.fid(base)).text} undefended" in text
    aucs = sorted((summary.strongest(p, "auc")[1] for p in points), key=lambda auc: auc.value)  # type: ignore[index]
    assert f"the highest AUC of 4 attacks is {shown(aucs[0], 2)} to {shown(aucs[-1], 2)} (" in text
    assert "at 5% FDR, 0 of 90 members are extracted at each strength (intervals within [0, 4]), against 29.7" in text
    assert "(fewer at all 5)" in text
    assert "nowhere shown to be above guessing" in text
    guards = sentence(twelve, "Sampling guards")
    assert "with the weights, 29 at each strength (intervals within [26, 32]) are extracted" in guards


def test_verdicts_count_the_strengths_that_the_corrected_tests_show(twelve: RunData) -> None:
    summary = twelve.summary
    points = [p for p in summary.points if p.defense != "none"]
    base, splits = Point("none", ""), ("0", "1", "2")
    attacks = [a for a in summary.attacks if a not in summary.controls]

    def highest(point: Point, split: str) -> Value:
        values = [summary.value(point, a, "auc", split) for a in attacks]
        return max((v for v in values if v is not None), key=lambda v: v.value)

    def ends(values: Sequence[Value]) -> tuple[list[float], list[float]]:
        return [v.low for v in values], [v.high for v in values]

    p_values, lower = [], []
    for point in points:
        mine, other = ([highest(p, s) for s in splits] for p in (point, base))
        p, difference = paired_test([v.value for v in mine], [v.value for v in other], ends(mine), ends(other))
        p_values.append(p)
        lower.append(difference < 0)
    shown_lower = [bool(p < 0.05 and low) for p, low in zip(holm(p_values), lower, strict=True)]
    comparisons = Comparisons(summary, summary.points)
    outcomes = [comparisons.outcome("auc", point) for point in points]
    assert [outcome is not None and outcome.sign < 0 for outcome in outcomes] == shown_lower
    assert comparisons.most == len(points)
    private = [s for s, p in zip(shown_lower, points, strict=True) if twelve.info["guarantees"][p.label]]
    text, count = sentence(twelve, "Private training"), sum(private)
    expected = f"lower at {count} of {len(private)}" if count else f"no difference shown at any of {len(private)}"
    assert expected in text


def test_intervals_that_lie_apart_are_mentioned_and_claim_nothing() -> None:
    assert Outcome(0, "", apart=True).said("fewer", "more") == "no difference shown, though the intervals lie apart"
    assert Outcome(0, "", apart=False).said("fewer", "more") == "no difference shown"
    assert Outcome(-1, "p = 0.01", apart=True).said("fewer", "more") == "fewer, p = 0.01"


def test_a_worse_number_is_called_worse(tmp_path: Path) -> None:
    leaky = Strength("dedup", fid=50, copied=60, leak=3)
    run = synthetic_run(tmp_path, [replace(TWO[0], leak=0.3), leaky], pool=256, samples=300, attacks=("loss", "pia"))
    text = sentence(run, "Training procedure (dedup)")
    assert "(higher, p = " in text
    assert "(worse, p = " in text
    assert "extraction was not measured" in text or "(more, " in text


def test_two_splits_are_not_compared(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, TWO, splits=2, **SMALL)
    text = " ".join(headline(run).values())
    assert not re.search(r"fewer|more|lower|higher,|better|worse|no difference", text)
    assert "No difference from the undefended model is claimed" in findings(run).terms


def test_what_was_not_measured_is_not_claimed(two: RunData, tmp_path: Path) -> None:
    rows = two.rows[(two.rows["kind"] != "utility") & (two.rows["source"] != "extraction")]
    rows.to_csv(tmp_path / "results.csv", index=False, na_rep="nan")
    (tmp_path / "run.json").write_text(json.dumps(two.info))
    undefended, defended = headline(RunData(tmp_path)).values()
    assert undefended.startswith("extraction was not measured; the highest AUC")  # once, for all models
    assert defended.startswith("the highest AUC")
    assert "FID" not in undefended + defended
    rows[rows["kind"] == "cost"].to_csv(tmp_path / "results.csv", index=False, na_rep="nan")
    texts = list(headline(RunData(tmp_path)).values())
    assert texts == ["extraction was not measured.", "nothing was measured."]


def test_without_an_undefended_model_nothing_is_compared(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, [TWELVE[1], TWELVE[6]], **SMALL)
    found = findings(run)
    assert len(found.headline) == 2
    assert not any("undefended" in str(one) for one in found.headline)
    assert found.terms.startswith("Brackets are 95% intervals; an AUC of 0.5 is guessing. “Above guessing”")
    assert "paired" not in found.terms
    label = "external model"  # trained elsewhere, with no defense that this run knows of
    alone = synthetic_run(tmp_path / "external", [Strength(label, copied=10, leak=1)], splits=1, **SMALL)
    alone = changed(alone, tmp_path / "changed", acts_on={label: ["nothing"]})
    (only,) = findings(alone).headline
    assert only.subject == "The model"
    assert "the highest AUC of 2 attacks is" in only.text


def test_a_single_undefended_model_is_described_alone(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, TWO[:1], splits=1, pool=128, samples=150, attacks=("loss",))
    (only,) = findings(run).headline
    assert only.subject == "The undefended model"
    assert "the AUC of loss is" in only.text
    fid = run.summary.fid(Point("none", ""))
    assert f"FID is {shown(fid)} (held-out images 4, noise 520)." in only.text


def test_a_defense_of_several_runs_is_compared_with_its_own_undefended_model(two: RunData, tmp_path: Path) -> None:
    other = synthetic_run(tmp_path, [replace(TWO[0], fid=30), replace(TWO[1], fid=14)], name="other")
    both = combined([two, other])
    subjects = list(headline(both))
    assert subjects == [
        "2 models without a defense",
        "Training procedure (synthetic: dedup; other: dedup; 2 strengths)",
    ]
    base = [number(run.summary.fid(Point("none", "")).value) for run in (two, other)]  # type: ignore[union-attr]
    assert f"against {base[0]} or {base[1]} undefended" in sentence(both, "Training procedure")


def test_strengths_that_could_not_be_measured_are_counted(tmp_path: Path) -> None:
    lost = Strength("dp_sgd", "epsilon=1", epsilon=1.0, diverged=(0, 1, 2))
    run = synthetic_run(tmp_path, [TWO[0], replace(lost, params="epsilon=9", diverged=()), lost], **SMALL)
    assert list(headline(run))[1] == "Private training (dp_sgd; 1 not measured)"


def test_a_fid_that_noise_has_is_said_to_be_no_better(tmp_path: Path) -> None:
    noisy = Strength("dp_sgd", "epsilon=1", fid=530, epsilon=1.0)
    run = synthetic_run(tmp_path, [TWO[0], noisy, replace(noisy, params="epsilon=9", fid=80, epsilon=9.0)], **SMALL)
    assert "(not shown to be better than noise at 1 of 2), against" in sentence(run, "Private training")


def with_fits(run: RunData, folder: Path, factors: dict[float, dict[str, float]]) -> RunData:
    """The run as if its features were fitted several times; factors: of each fit, by defense, 1 where none is given.

    The interval of the mean is so wide that it shows nothing.
    """
    fids = run.rows["source"] == "fid"
    parts = [run.rows[~fids], run.rows[fids].assign(ci_low=0.0, ci_high=1000.0)]
    for level, of in factors.items():
        fit = run.rows[fids].assign(level=level, metric="fid_embedded_of_fit")
        times = [of.get(defense, 1.0) for defense in fit["defense"]]
        parts.append(fit.assign(**{column: fit[column] * times for column in ("value", "ci_low", "ci_high")}))
    folder.mkdir()
    pd.concat(parts).to_csv(folder / "results.csv", index=False, na_rep="nan")
    (folder / "run.json").write_text(json.dumps(run.info))
    return RunData(folder)


def test_fids_on_several_fits_of_the_features_differ_if_they_do_on_each(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path / "run", [replace(TWO[0], fid=30), replace(TWO[1], fid=14)], **SMALL)
    defense = TWO[1].defense

    def outcome(name: str, factors: dict[float, dict[str, float]]) -> int | None:
        summary = with_fits(run, tmp_path / name, factors).summary
        found = Comparisons(summary, summary.points).outcome("fid", summary.points[1])
        return found.sign if found is not None else None

    assert outcome("agree", {1.0: {}, 2.0: {defense: 0.8}, 3.0: {defense: 1.2}}) == -1
    assert outcome("disagree", {1.0: {}, 2.0: {defense: 5.0}}) == 0
    assert outcome("unclear", {1.0: {}, 2.0: {defense: 30 / 14}}) == 0


def test_a_fid_is_worse_than_that_of_noise_if_it_is_on_each_fit_of_the_features(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path / "run", [TWO[0], replace(TWO[1], fid=2000)], **SMALL)

    def relation(name: str, factor: float) -> list[int | None]:
        summary = with_fits(run, tmp_path / name, {1.0: {}, 2.0: {TWO[1].defense: factor}}).summary
        return [summary.against_noise(point) for point in summary.points]

    assert relation("worse", 0.5) == [-1, 1]
    assert relation("both", 0.05) == [-1, 0]


def test_the_page_shows_the_sentences_before_the_table_and_the_paragraphs_in_a_fold(
    twelve: RunData, tmp_path: Path
) -> None:
    from html import unescape

    found = findings(twelve)
    with only("cost"), as_svg():
        text = unescape(write_report([twelve], tmp_path).read_text())
    table, fold = text.index("<table>"), text.index("<details>")
    end = text.index("</details>", fold)
    for one in found.headline:
        assert text.index(f"<strong>{one.subject}:</strong> {one.text}") < table
    assert text.index(found.terms) < table < fold
    for one in found.strengths:
        assert fold < text.index(one.text) < end
        assert text.count(one.text) == 1
    assert "<details open" not in text
