"""What the axes of a study's figure are called."""

from __future__ import annotations

from leakfront.results.studies.judging.data import labels, metric_label


def test_a_number_has_the_name_that_people_use() -> None:
    assert metric_label({"source": "loss", "metric": "tpr_at_fpr", "level": 0.01}) == "TPR at 1% FPR, loss"
    assert metric_label({"metric": "auc"}) == "AUC"
    assert metric_label({"metric": "fid_digits_frozen", "source": "fid"}) == "FID"
    named = {"source": "extraction", "metric": "extracted_at_fdr", "level": 0.05}
    assert metric_label(named) == "extracted at 5% FDR"
    assert metric_label({"source": "halves", "metric": "agreement"}) == "agreement"


def test_settings_are_told_apart_in_few_words() -> None:
    stops = [{"defense": "early_stop", "params": f"steps={steps}"} for steps in (125, 250)]
    assert labels([*stops, {"defense": "none"}]) == ("steps=125", "steps=250", "none")
    same = [{"defense": "dp_sgd", "params": "epsilon=1"}, {"defense": "dp_finetune", "params": "epsilon=1"}]
    assert labels(same) == ("dp_sgd", "dp_finetune")
    both = [*same, {"defense": "dp_finetune", "params": "epsilon=10"}]
    assert labels(both) == ("dp_sgd epsilon=1", "dp_finetune epsilon=1", "dp_finetune epsilon=10")
    assert labels([{"source": "inpainting"}]) == ("",)
