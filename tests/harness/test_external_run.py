"""A run of an external model that needs conversions: it says how the model was read, and whether that is plausible."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import pytest

from leakfront.errors import InputError
from leakfront.harness.settings.external import external_config
from leakfront.harness.shareable import shareable_runs
from leakfront.harness.store.layout import Layout
from leakfront.results.page.cautions import cautions
from leakfront.results.run.combined import combined
from leakfront.results.run.data import RunData
from leakfront.results.run.plausibility import in_front
from tests.datasets.test_members_decoys import write
from tests.in_process import run_here
from tests.models import external_folders as folders
from tests.test_cli import invoke

QUICK = ("sampling.images=40", "sampling.steps=3", "attacks.extraction.neighbours=10")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The run of an untrained model of T = 100 with two classes and the null class, and what the run printed."""
    root = tmp_path_factory.mktemp("external")
    network = folders.network(num_class_embeds=3, out_channels=2, sample_size=None)
    folders.pipeline(root / "модель", diffusers.DDIMScheduler(num_train_timesteps=100), network)
    for label in ("0", "1"):
        write(root / "members" / label, range(10 * int(label), 10 * int(label) + 10))
        write(root / "decoys" / label, range(100 + 10 * int(label), 110 + 10 * int(label)))
    settings = ("model.null_class=true", "model.range=[0, 1]", *QUICK)
    places = (str(root / "модель"), str(root / "members"), str(root / "decoys"))
    config = external_config(*places, None, "quick-v2", settings)
    outcome, printed = run_here(config.model_dump(), root / "run", report=False)
    assert not outcome.failed
    return root / "run", printed


def test_it_says_what_was_done_and_nothing_of_a_training(finished: tuple[Path, str]) -> None:
    folder, printed = finished
    assert printed.startswith("attack-модель: an external model")
    assert "model: the network predicts a variance too" in printed
    assert "external_model-split0 done (all models sampled and queried)" in printed
    assert "training" not in printed
    rows = RunData(folder).rows
    assert set(rows["model"]) == {"модель"}
    assert set(rows["suite"]) == {"quick-v2, scaled to T = 100, changed"}
    assert {"loss", "pia", "secmi"} <= set(rows[rows["metric"] == "auc"]["source"])


def test_an_implausible_model_is_a_warning_in_front_of_all_numbers(finished: tuple[Path, str]) -> None:
    run = RunData(finished[0])
    facts = run.external_model
    assert facts is not None
    assert facts["name"] == "модель"
    assert facts["range"] == [0.0, 1.0]
    assert facts["null_class"] is True
    assert "variance" in facts["read"]
    checked = facts["plausibility"]
    assert (checked["timestep"], checked["images"], checked["label_timestep"]) == (10, 20, 50)
    assert checked["noise_error"] > 0.9  # it was never trained
    (line,) = in_front(run)
    assert line.startswith(
        "warning: the model is probably not read as it was trained: its mean squared noise error on 20"
    )
    assert "model.range" in line
    shown = " ".join(invoke("show", finished[0]).output.split())
    assert 0 <= shown.index("warning: the model is probably not read") < shown.index("Extracted")
    first = cautions(run, run.summary, [])[0]
    assert (first.subject, f"warning: {first.text}") == ("модель", line)


def judged(folder: Path, **facts: Any) -> RunData:
    """The run with other results of the check."""
    info = json.loads((folder / "run.json").read_text())
    info["external_model"]["plausibility"] |= facts
    run = RunData(folder)
    run.info = info
    return run


def test_a_plausible_model_is_a_line_with_the_number(finished: tuple[Path, str]) -> None:
    good = judged(finished[0], noise_error=0.12, labels_gain=[0.1, 0.05, 0.15])
    (line,) = in_front(good)
    assert line.startswith("check of the model: its mean squared noise error on 20 members at t = 10 of 100 is 0.12")
    assert not [found for found in cautions(good, good.summary, []) if found.subject]
    mixed = judged(finished[0], noise_error=0.12, labels_gain=[0.001, -0.05, 0.05])
    assert "the classes of the images are probably not those of the model's training" in in_front(mixed)[0]
    assert "is not finite" in in_front(judged(finished[0], noise_error=None))[0]


@pytest.mark.parametrize(
    "received", [{"timestep": "<b>"}, {"images": None}, {"labels_gain": "x"}, {"noise_error": [1]}]
)
def test_facts_of_a_stranger_cannot_break_the_report(finished: tuple[Path, str], received: dict[str, Any]) -> None:
    for line in in_front(judged(finished[0], **received)):
        assert "<b>" not in line


def test_runs_of_one_model_with_other_samplers_are_refused_and_told_apart(
    finished: tuple[Path, str], tmp_path: Path
) -> None:
    other = tmp_path / "two steps"
    shutil.copytree(finished[0], other)
    info = json.loads((other / "run.json").read_text())
    info["config"]["sampling"]["steps"] = 2
    (other / "run.json").write_text(json.dumps(info))
    runs = [RunData(finished[0]), RunData(other)]
    with pytest.raises(
        InputError, match="cannot be drawn together: sampling steps is 3 in the first and 2 in the second"
    ):
        combined(runs)
    both = combined(runs, force=True)
    assert "sampling steps (3, 2)" in both.differences[0]
    assert both.summary.defenses == [
        "attack-модель in run: external model",
        "attack-модель in two steps: external model",
    ]
    assert len(in_front(both)) == 2


def test_a_report_that_may_be_shared_does_not_name_the_model(finished: tuple[Path, str]) -> None:
    (shown,) = shareable_runs([Layout(finished[0])])
    assert set(shown.rows["model"]) == {"external model"}
    assert shown.external_model is not None
    assert shown.external_model["plausibility"] == (RunData(finished[0]).external_model or {})["plausibility"]
    assert "модель" not in json.dumps(shown.info, ensure_ascii=False)
    assert not [note for note in shown.info["attack_notes"] if note.startswith("model: ")]
