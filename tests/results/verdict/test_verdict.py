"""The verdict on whole runs, and gates that are not as they should be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from leakfront.errors import InputError
from leakfront.results.run.data import RunData
from leakfront.results.verdict.gate import Gate, Rule, default_gate, read_gate, stored_gate
from leakfront.results.verdict.judge import as_json, judge
from leakfront.results.verdict.sentences import headline, lines
from leakfront.results.verdict.untried import untried
from tests.synthetic_run import Strength, synthetic_run

ATTACKS = ("blind", "extraction", "loss", "gsa1")
GUARDED = Strength("guidance", "threshold=0.5", past=29)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    strengths = (Strength("none", copied=29, leak=1.1), Strength("dedup"), GUARDED, Strength("dp", diverged=(1,)))
    return synthetic_run(tmp_path_factory.mktemp("run"), strengths, splits=2, attacks=ATTACKS)


def extraction_gate(**changes: object) -> Gate:
    rule = Rule(metric="extracted_at_fdr", level=0.05, at_most=0.05, share=True)
    return Gate(rules=(rule,)).model_copy(update=changes)


def test_a_model_that_leaks_fails_and_so_does_the_run(run: RunData) -> None:
    verdict = judge(run)
    found = {model.label: model.outcome for model in verdict.models}
    assert found["none"] == "fail"
    assert found["dedup"] in ("undecided", "fail")
    assert verdict.outcome == "fail"
    assert verdict.fails
    rule = verdict.models[0].judged[1]
    assert (rule.outcome, rule.source) == ("fail", "extraction")
    assert rule.value.low > 0.01


def test_what_was_not_measured_is_no_pass(run: RunData) -> None:
    by_metric = {one.rule.metric: one for one in judge(run).models[0].judged}
    assert by_metric["members_ratio"].outcome == "undecided"
    assert by_metric["members_ratio"].reason == "it was not measured"
    assert by_metric["dcr_share"].outcome == "not measured"  # it only warns


def test_the_worst_split_counts(run: RunData) -> None:
    rows = run.rows[(run.rows["metric"] == "members_before_decoys") & (run.rows["split"] != "all")]
    highest = rows[rows["defense"] == "none"]["value"].max()
    gate = Gate(rules=(Rule(metric="members_before_decoys", at_most=highest - 1),))
    assert judge(run, gate.model_copy(update={"models": ("none",)})).outcome == "fail"
    gate = Gate(rules=(Rule(metric="members_before_decoys", at_most=highest),))
    assert judge(run, gate.model_copy(update={"models": ("none",)})).outcome == "pass"


def test_an_attacker_with_the_weights_gets_past_a_guard_of_the_sampler(run: RunData) -> None:
    verdicts = {
        attacker: judge(run, extraction_gate(attacker=attacker, models=(GUARDED.label,))).models[0].judged[0]
        for attacker in ("weights", "samples")
    }
    assert verdicts["weights"].outcome == "fail"
    assert verdicts["weights"].value.value == pytest.approx(29 / 256, rel=0.3)
    assert verdicts["samples"].outcome != "fail"


def test_an_attacker_with_samples_makes_no_attack_on_the_loss_and_a_control_is_none(run: RunData) -> None:
    rule = Rule(metric="auc", at_most=0.5)
    found = {a: judge(run, Gate(rules=(rule,), attacker=a, models=("none",))).models[0].judged[0].source
             for a in ("weights", "samples")}  # fmt: skip
    assert found == {"weights": "gsa1", "samples": "extraction"}
    named = Gate(rules=(Rule(metric="auc", at_most=1, source="blind"),), models=("none",))
    assert judge(run, named).models[0].judged[0].source == "blind"


def test_a_model_of_which_a_training_diverged_cannot_pass(run: RunData) -> None:
    gate = Gate(rules=(Rule(metric="auc", at_most=1),), models=("dp",))
    (model,) = judge(run, gate).models
    assert model.judged[0].outcome == "pass"
    assert model.outcome == "undecided"
    assert "split 1" in model.spoiled[0]


def test_undecided_fails_only_where_the_gate_says_so(run: RunData) -> None:
    for undecided, fails in (("pass", False), ("fail", True)):
        gate = Gate(rules=(Rule(metric="nothing", at_most=1),), undecided=undecided)
        assert judge(run, gate).outcome == "undecided"
        assert judge(run, gate).fails == fails


def test_it_is_json_and_its_gate_can_be_read_again(run: RunData, tmp_path: Path) -> None:
    assert stored_gate(tmp_path) is None
    verdict = judge(run)
    held = json.loads(json.dumps(as_json(verdict), allow_nan=False))
    assert held["verdict"] == "fail"
    (tmp_path / "verdict.json").write_text(json.dumps(held))
    assert stored_gate(tmp_path) == verdict.gate == default_gate()
    (tmp_path / "verdict.json").write_text("[]")
    with pytest.raises(InputError, match="leakfront gate"):
        stored_gate(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "rules: field required"),
        ("rules = []", "rules"),
        ("[[rules]]\nmetric = 'auc'", "rules.0.at_most: field required"),
        ("[[rules]]\nmetric = 'auc'\nat_most = 'much'", "rules.0.at_most"),
        ("[[rules]]\nmetric = 'auc'\nat_most = nan", "rules.0.at_most|no gate"),
        ("[[rules]]\nmetric = 'auc'\nat_most = 1\nlimit = 2", "rules.0.limit"),
        ("attacker = 'all'\n[[rules]]\nmetric = 'auc'\nat_most = 1", "attacker"),
        ("[[rules]]\nmetric = '=auc'\nat_most = 1", "formula"),
        ("[[rules", "cannot be read as a gate"),
    ],
)
def test_a_gate_that_is_not_as_it_should_be_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "gate.toml").write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_gate(tmp_path / "gate.toml")
    assert "gate.toml" in str(error.value)


def test_a_model_that_the_run_does_not_have_is_refused(run: RunData) -> None:
    with pytest.raises(InputError, match="names the model 'dpsgd'; the run has 'none', "):
        judge(run, extraction_gate(models=("dpsgd",)))


def test_it_is_said_in_sentences_with_numbers_and_sizes(run: RunData) -> None:
    alone = judge(run, default_gate().model_copy(update={"models": ("dedup",)}))
    texts = [text for _, _, text in lines(alone)]
    assert headline(alone) == f"Verdict: {alone.outcome}"
    assert any("Members extracted at a false-discovery rate of 5%: 0 of 1" in text for text in texts)
    assert any("would decide it if the rest stays as it is." in text for text in texts)
    assert any("no number, since it was not measured" in text for text in texts)
    several = judge(run)
    assert headline(several).startswith("Verdict on 4 models: ")
    assert [subject.split()[0] for _, subject, _ in lines(several)] == ["none", "dedup", "guidance", "dp"]


def test_a_rule_without_words_has_those_of_the_default_gate_or_the_spelling_of_its_rows(run: RunData) -> None:
    own = Rule(metric="auc", at_most=0.6, source="outlier")
    gate = extraction_gate(rules=(*extraction_gate().rules, own), models=("dedup",))
    by_default, spelled = (text for _, _, text in lines(judge(run, gate)))
    assert by_default.startswith("Members extracted at a false-discovery rate of 5%: 0 of 1")
    assert spelled.startswith("auc of outlier, at most 0.6: no number")


def test_with_subjects_these_are_counted(run: RunData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(run.info, "dataset", {"unit": "subject"})
    rule = extraction_gate().rules[0].model_copy(update={"at_most": 0.01})
    ((_, _, text),) = lines(judge(run, extraction_gate(rules=(rule,), models=("dedup",))))
    assert re.search(r": 0 of 1\d\d member subjects, .* About [\d,]+ member subjects, with decoys in proportion", text)


def test_a_rate_that_so_few_decoys_do_not_resolve_names_how_many_would(run: RunData) -> None:
    gate = Gate(rules=(Rule(metric="tpr_at_fpr", level=0.001, at_most=0.01),), models=("none",))
    ((outcome, _, text),) = lines(judge(run, gate))
    assert outcome == "undecided"
    assert "not attainable with" in text
    assert "it takes at least 1,000 decoys to measure it, and more to decide." in text


def test_what_was_not_tried_is_said(run: RunData) -> None:
    told = " ".join(untried(run, default_gate()))
    assert "More than 400 generated images" in told
    assert "More than 1 shadow model for" in told
    assert "Any attack on" not in told
    served = untried(run, extraction_gate(attacker="samples"))
    assert served[0].startswith("Attackers who hold the weights")


def test_attacks_that_were_left_out_are_named_with_the_reason(tmp_path: Path) -> None:
    run = synthetic_run(tmp_path, splits=1, attacks=("extraction", "loss"), left_out={"loss": "left out: it is late"})
    told = untried(run, default_gate())
    assert "loss: it is late." in told
    assert "Any attack on gradients (the weights): the run has none." in told
    assert "Shadow models: there are none." in told
