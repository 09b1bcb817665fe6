"""Runs of models that diverge, that leak all or nothing by construction, or that are guarded as they are served."""

from __future__ import annotations

from pathlib import Path

import pytest

from leakfront.results.run.rows import read_rows
from tests.few_figures import as_svg, only
from tests.in_process import run_here
from tests.small_config import small

QUALITY = {"features": "digits_frozen", "names": ["kid"]}  # without a fit: leakage is looked at


def test_a_model_that_diverges_is_a_row_and_a_line_and_the_others_continue(tmp_path: Path) -> None:
    defenses = [{"name": "none"}, {"name": "dp_sgd", "accountant": "rdp", "learning_rate": 1e30}]
    settings = small(defenses=defenses, training__steps=4, attacks__secmi={"timesteps": [20]}, metrics=QUALITY)
    with only("tradeoff"), as_svg():
        outcome, _ = run_here(settings, tmp_path / "run")
    assert len(outcome.diverged) == 2
    assert all(name.startswith("dp_sgd") for name in outcome.diverged)
    rows = read_rows(tmp_path / "run" / "results.csv")
    diverged = rows[rows["metric"] == "diverged"]
    assert len(diverged) == 2
    assert (diverged["defense"] == "dp_sgd").all()
    assert (rows["defense"] == "none").sum() > 50
    assert "diverged" in (tmp_path / "run" / "report" / "index.html").read_text()
    again, said = run_here(settings, tmp_path / "run", report=False)
    assert again.diverged == outcome.diverged
    assert "0 models to train" in said


@pytest.mark.parametrize("model", ["memorizer", "gaussian"])
def test_the_oracles_are_the_two_ends_of_the_scale(model: str, tmp_path: Path) -> None:
    settings = small(model={"name": model}, sampling={"images": 300, "steps": 20}, metrics=QUALITY)
    outcome, _ = run_here(settings, tmp_path / "run", report=False)
    assert not outcome.failed
    rows = read_rows(tmp_path / "run" / "results.csv")
    everything = rows[rows["split"] == "all"].set_index(["source", "metric"])["value"]
    if model == "memorizer":
        assert everything["loss", "auc"] == 1
        assert everything["secmi", "auc"] == 1
        assert everything["extraction", "extracted_at_fdr"] > 30
    else:
        assert everything["extraction", "extracted_at_fdr"] == 0


def test_a_guarded_model_is_attacked_as_served_and_with_its_weights(tmp_path: Path) -> None:
    """Without the guard it is the undefended model. Redrawing costs model calls, which are counted."""
    defenses = [{"name": "none"}, {"name": "guidance", "threshold": 1.0}, {"name": "filter", "ratio": 0.5}]
    settings = small(model={"name": "memorizer"}, sampling={"images": 300, "steps": 20}, defenses=defenses,
                     metrics=QUALITY)  # fmt: skip
    with only("tradeoff"), as_svg():
        outcome, _ = run_here(settings, tmp_path / "run")
    assert not outcome.failed
    rows = read_rows(tmp_path / "run" / "results.csv")
    rows = rows[rows["split"] == "all"].set_index(["defense", "source", "metric"])["value"]
    for metric in ("extracted_at_fdr", "members_adaptive", "members_ratio"):
        for guard in ("guidance", "filter"):
            past = rows[guard, "extraction", f"{metric}_with_weights"]
            assert past == rows["none", "extraction", metric]
    assert rows["none", "extraction", "members_adaptive"] > 30
    assert rows["guidance", "extraction", "members_adaptive"] == 0
    assert ("none", "extraction", "extracted_at_fdr_with_weights") not in rows.index
    assert rows["guidance", "loss", "auc"] == rows["none", "loss", "auc"] == 1  # the weights are the same
    assert rows["none", "sample", "model_calls_per_image"] == 20
    assert rows["filter", "sample", "model_calls_per_image"] == 200  # ten tries: on this model every sample is a copy
    page = (tmp_path / "run" / "report" / "index.html").read_text()
    assert "from the weights, past what guards the sampler" in page
