"""Keys change with everything that decides an artifact: code, libraries by stage, labels; and with nothing else."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from leakfront.harness.plan.keys import key_of
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages import ATTACK, MEASURE, POOL, PREPARE, STAGES, TRAIN
from leakfront.harness.stages.stage import Subject
from leakfront.harness.store import code_keys, imports, libraries
from leakfront.harness.store.code_keys import with_imports
from leakfront.harness.store.libraries import is_code, libraries_of
from tests.small_config import small

ATTACKS = {"extraction": {"neighbours": 10}, "loss": {"timesteps": [50, 100], "draws": 2}}


def plan(**changes: Any) -> Plan:
    return make_plan(parse_config(small(attacks=ATTACKS, **changes)))


def keys(made: Plan) -> dict[str, str]:
    """The keys of the run, of its last cell, and of that cell's attacks."""
    cell = made.cells[-1]
    found = {**made.keys, **cell.keys, "measure": key_of(MEASURE, Subject(made, cell))}
    return found | {f"attack {label}": key_of(ATTACK, Subject(made, cell, (), label)) for label in made.attacks}


def changed_by(library: str, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> set[str]:
    """The names of the keys that are others with another version of a library."""
    before = keys(plan(**changes))
    with monkeypatch.context() as patch:
        patch.setattr(libraries, "_version", lambda name: "another" if name == library else version(name))
        after = keys(plan(**changes))
    return {name for name in before if before[name] != after[name]}


EVERYTHING = {"pool", "extractor", "reference", "prepare", "train", "sample", "features", "probe", "measure",
              "attack extraction", "attack loss"}  # fmt: skip


@pytest.mark.parametrize("unrelated", ["pandas", "seaborn", "matplotlib", "opacus", "torch-fidelity", "Pillow"])
def test_an_upgrade_of_a_library_that_trains_nothing_leaves_trainings_and_queries_alone(
    unrelated: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert changed_by(unrelated, monkeypatch) <= {"reference", "measure"}


def test_a_library_of_one_attack_decides_that_attack_and_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert changed_by("faiss-cpu", monkeypatch) == {"attack extraction", "measure"}


def test_the_library_of_private_steps_decides_private_models_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    private = [{"name": "none"}, {"name": "dp_sgd", "epsilon": 8}]
    assert "train" in changed_by("opacus", monkeypatch, defenses=private)
    assert "train" not in changed_by("opacus", monkeypatch, defenses=private[:1])


def test_the_libraries_of_training_and_of_the_images_decide_what_follows_from_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert changed_by("torch", monkeypatch) == EVERYTHING - {"pool", "prepare"}
    assert {"train", "sample", "probe"} <= changed_by("diffusers", monkeypatch)
    assert changed_by("scikit-learn", monkeypatch) == EVERYTHING  # the digits come with it


def test_the_library_that_compresses_planted_copies_decides_the_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    recompressed = {"data__duplicates__kind": "recompressed"}
    assert changed_by("Pillow", monkeypatch, **recompressed) == EVERYTHING


def test_the_derivation_of_seeds_is_code_of_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    before, known = keys(plan()), code_keys.code_version
    monkeypatch.setattr(code_keys, "code_version", lambda name: "" if name == "leakfront.seeds" else known(name))
    after = keys(plan())
    assert {stage.name for stage in STAGES if stage.needed(plan())} - {"attack"} <= set(after)
    assert all(before[name] != after[name] for name in after)


def test_newer_settings_are_in_a_key_only_where_they_are_used() -> None:
    made = plan()
    subject = Subject(made, made.cells[0])
    assert PREPARE.settings(subject) == [[], 0.5, 0, 0]
    assert set(TRAIN.settings(subject)[0]) == {"steps", "batch_size", "learning_rate", "ema_decay"}
    assert set(MEASURE.settings(subject)[2]) == {"dataset", "params", "pool", "coin", "reference", "duplicates"}
    assert POOL.settings(subject)[4] == {"groups": 8, "copies": 4, "kind": "exact"}


def test_rows_follow_the_label_of_their_defense_and_models_do_not() -> None:
    """Both labels make the same name of a folder, and rows carry the label."""
    one, other = (plan(defenses=[{"name": "none", "label": label}]) for label in ("no defense", "no_defense"))
    assert one.cells[0].name == other.cells[0].name
    assert {name for name, key in keys(one).items() if keys(other)[name] != key} == {"measure"}


def test_another_attack_asks_for_nothing_that_is_known() -> None:
    """The control asks the model nothing, and another form of an attack the same as before."""
    more = {**ATTACKS, "blind": {}, "again": {"attack": "loss", "timesteps": [50, 100], "draws": 2}}
    one, other = plan(), make_plan(parse_config(small(attacks=more)))
    assert one.cells[0].keys["probe"] == other.cells[0].keys["probe"]


def test_threads_and_workers_are_in_no_key() -> None:
    assert keys(plan(execution__threads=2)) == keys(plan())


# plug-ins of others


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path of imports, whose modules no package brings."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_code_outside_the_package_of_a_plug_in_is_followed(elsewhere: Path) -> None:
    (elsewhere / "plugin_of_mine.py").write_text("import beside_it, numpy\n")
    (elsewhere / "beside_it.py").write_text("from further import x\n")
    (elsewhere / "further").mkdir()
    (elsewhere / "further" / "__init__.py").write_text("from .deep import x\n")
    (elsewhere / "further" / "deep.py").write_text("x = 1\n")
    followed = with_imports("plugin_of_mine")
    assert followed == ("beside_it", "further", "further.deep", "plugin_of_mine")
    assert libraries_of(followed) == {"numpy": version("numpy")}


def test_installed_packages_are_libraries_and_editable_ones_are_code(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version says what an installed package holds; of an editable one anything may have been changed."""
    place = elsewhere / "site-packages"
    for name in ("installed_lib", "same_package"):
        (place / name).mkdir(parents=True)
        (place / name / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(place)
    (elsewhere / "editable_lib.py").write_text("")
    brought = {"installed_lib": ["installed"], "editable_lib": ["editable"], "same_package": ["mine"], "mine": ["mine"]}
    libraries.distributions.cache_clear()
    monkeypatch.setattr(libraries, "_all", lambda: brought)
    assert not is_code("installed_lib", "mine")
    assert is_code("editable_lib", "mine")
    assert is_code("same_package", "mine")
    assert not is_code("numpy", "mine")
    assert not is_code("json", "mine")
    (elsewhere / "mine.py").write_text("import installed_lib, editable_lib, same_package\n")
    monkeypatch.setattr(libraries, "_version", lambda name: f"of {name}")
    assert libraries_of(with_imports("mine")) == {"installed": "of installed"}
    libraries.distributions.cache_clear()


def test_imports_for_type_checkers_count_for_nothing(elsewhere: Path) -> None:
    (elsewhere / "typed_only.py").write_text(
        "from typing import TYPE_CHECKING\nimport typing\n"
        "if TYPE_CHECKING:\n    import torch\nelse:\n    import numpy\n"
        "if typing.TYPE_CHECKING:\n    import scipy\n\ndef late():\n    import faiss\n"
    )
    tops = {name.partition(".")[0] for name in imports.imports_of("typed_only")}
    assert tops == {"typing", "numpy", "faiss"}


def test_a_module_without_source_is_followed_no_further(elsewhere: Path) -> None:
    (elsewhere / "compiled.so").write_text("")
    assert with_imports("compiled") == ()
