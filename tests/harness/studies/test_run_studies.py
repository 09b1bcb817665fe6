"""`leakfront run` of studies: arms, shared trainings, resumption, expectations that stay, and the report over them."""

from __future__ import annotations

import csv
import tomllib
from pathlib import Path
from typing import Any

import pytest

from leakfront.configs import bundled_studies
from leakfront.errors import InputError
from leakfront.harness.checks import check_everything
from leakfront.harness.settings.file import load_config
from leakfront.harness.store.layout import Layout
from leakfront.harness.studies.load import check_models, load_study, merged
from tests.in_process import Here, command_here
from tests.small_config import small, write_toml

EFFECT = {"name": "difference", "measure": {"source": "loss", "metric": "auc"}, "of": {"run": "long"},
          "minus": {"run": "short"}}  # fmt: skip
STUDY: dict[str, Any] = {
    "statement": "Longer training leaks more.",
    "source": "A paper",
    "arms": {"short": {"training": {"steps": 2}}, "long": {}},
    "questions": [{"asks": "AUC, long minus short", "expected": "above", "margin": 0.05, "effect": EFFECT}],
}


def config(folder: Path, name: str, **changes: Any) -> str:
    settings = small(name=name, training__steps=4, metrics__features="digits_frozen", metrics__features_params={},
                     sampling__images=128, attacks={"loss": {"timesteps": [100], "draws": 1}})  # fmt: skip
    return write_toml(folder / f"{name}.toml", {**settings, "study": {**STUDY, **changes}})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two arms, and then a second one beside it that trains the same models."""
    place = tmp_path_factory.mktemp("studies")
    for name in ("first", "second"):
        done = command_here("run", config(place, name), "--out", place / "all" / name)
        assert done.exit_code == 0, done.output
        (place / f"{name}.txt").write_text(done.output)
    return place


def test_each_arm_is_a_run_of_its_own(folder: Path) -> None:
    first = folder / "all" / "first"
    for arm, steps in (("short", 2), ("long", 4)):
        held = tomllib.loads((first / arm / "config.toml").read_text())
        assert (held["name"], held["training"]["steps"]) == (arm, steps)
        assert "study" not in held


def test_a_study_beside_it_trains_nothing_anew(folder: Path) -> None:
    first, second = ((folder / f"{name}.txt").read_text() for name in ("first", "second"))
    assert first.count("2 artifacts are taken over") == 1  # the training sets, which both arms share
    assert "4 models to train" not in second
    assert second.count("artifacts are taken over") == 2
    assert "train" not in second.replace("to train", "")
    weights = [next((folder / "all" / name / "long").glob("models/*/train/manifest.json")).parent
               for name in ("first", "second")]  # fmt: skip
    texts = [sorted(p.read_bytes() for p in place.rglob("*.safetensors")) for place in weights]
    assert texts[0] == texts[1]


def test_a_finished_study_does_nothing_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[Any] = []
    monkeypatch.setattr(Here, "submit", lambda self, task: tasks.append(task))
    again = command_here("run", config(folder, "first"), "--out", folder / "all" / "first")
    assert (again.exit_code, tasks) == (0, []), again.output


def test_results_refuse_another_expectation(folder: Path) -> None:
    questions = [{**STUDY["questions"][0], "margin": 0.01}]
    changed = command_here("run", config(folder, "first", questions=questions), "--out", folder / "all" / "first")
    assert changed.exit_code == 2
    assert "an expectation is written before its results" in changed.output
    texts = command_here("run", config(folder, "first", source="Another paper"), "--out", folder / "all" / "first")
    assert texts.exit_code == 0, texts.output


def test_one_report_is_over_all_studies_of_a_folder(folder: Path) -> None:
    done = command_here("report", folder / "all")
    assert done.exit_code == 0, done.output
    page = (folder / "all" / "report" / "index.html").read_text()
    assert page.count('class="verdict') == 2
    with (folder / "all" / "report" / "tables" / "studies.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["study"] for line in lines] == ["first", "second"]
    assert {line["splits"] for line in lines} == {"2.0"}
    assert {path.suffix for path in (folder / "all" / "report" / "figures").glob("first.*")} == {".pdf", ".svg", ".png"}


def test_a_question_about_no_model_is_refused_before_anything_runs(tmp_path: Path) -> None:
    effect = {**EFFECT, "minus": {"run": "middle"}}
    wrong = config(tmp_path, "wrong", questions=[{**STUDY["questions"][0], "effect": effect}])
    done = command_here("run", wrong, "--out", tmp_path / "wrong")
    assert done.exit_code == 2
    assert "asks for run 'middle'" in done.output
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"expected": "below"}, "needs a margin on that side of 0"),
        ({"expected": "equal", "margin": 0}, "needs a margin above 0"),
        ({"expected": "either", "margin": 0}, "must expect something"),
        ({"effect": {"name": "differences"}}, "did you mean 'difference'"),
        ({"marjin": 1}, "did you mean 'margin'"),
    ],
)
def test_what_is_wrong_in_a_question_is_named(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    wrong = config(tmp_path, "wrong", questions=[{**STUDY["questions"][0], **change}])
    with pytest.raises(InputError, match=says):
        load_study(wrong)


def test_an_arm_replaces_a_plugin_and_merges_a_section() -> None:
    settings = {"model": {"name": "unet", "channels": [8]}, "training": {"steps": 5, "batch_size": 2}}
    changed = merged(settings, {"model": {"name": "gan"}, "training": {"steps": 7}})
    assert changed == {"model": {"name": "gan"}, "training": {"steps": 7, "batch_size": 2}}
    assert settings["training"]["steps"] == 5


@pytest.mark.parametrize("name", bundled_studies())
def test_every_bundled_study_trains_what_it_asks_about(name: str, tmp_path: Path) -> None:
    study = load_study(name)
    plans = {arm: check_everything(config, Layout(tmp_path / arm))[0] for arm, config in study.arms.items()}
    check_models(study.study, plans)
    assert study.config.title
    assert study.study.cannot
    assert study.study.scale
    assert load_config(name).study == study.study
    for arm in load_study(name, smoke=True).arms.values():
        assert arm.training.steps <= 40
