"""Settings: an error is one sentence that names the key; a list of values is a sweep."""

from pathlib import Path

import pytest

from leakfront.configs import bundled
from leakfront.errors import InputError
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.sweeps import expand
from leakfront.harness.settings.file import load_config
from leakfront.harness.settings.sections import parse_config
from tests.small_config import small, write_toml


def refusal(**changes: object) -> str:
    with pytest.raises(InputError) as caught:
        make_plan(parse_config(small(**changes)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"trainin": {}}, "unknown key 'trainin' in the config; did you mean 'training'?"),
        ({"training__step": 5}, "unknown key 'training.step' in the config; did you mean 'steps'?"),
        ({"training__steps": "many"}, "training.steps = 'many' in the config is wrong"),
        ({"training__steps": 0}, "training.steps = 0"),
        ({"training__steps": 2.5}, "training.steps = 2.5"),
        ({"training__epochs": 3}, "training.steps and training.epochs are both given; give one of them"),
        ({"training": {"epochs": 0}}, "training.epochs = 0"),
        ({"data__coin": 1.0}, "data.coin = 1.0"),
        ({"data__duplicates__kind": "blurred"}, "data.duplicates.kind = 'blurred'"),
        (
            {"data__duplicates__copies": 0},
            "data.duplicates.copies = 0 in the config is wrong: it must be a whole number",
        ),
        ({"data__duplicates__copies": []}, "or a list of at most 100 different ones"),
        ({"data__duplicates__copies": [2, 2]}, "data.duplicates.copies = [2, 2]"),
        ({"data__duplicates__copies": [2, True]}, "data.duplicates.copies = [2, True]"),
        ({"data__duplicates__copies": list(range(1, 10))}, "groups must be 0 or at least 9, one for each number"),
        ({"sampling__scheduler": "euler"}, "sampling.scheduler = 'euler'"),
        ({"name": "a/b"}, "name = 'a/b'"),
        ({"seed": -1}, "seed = -1"),
        ({"seed": True}, "seed = True"),
        ({"training__steps": "5"}, "training.steps = '5'"),
        ({"training__learning_rate": "0.1"}, "training.learning_rate = '0.1'"),
        ({"attacks": {"a\nb": {}}}, "attacks.a\\nb: a label must consist of"),
        ({"splits": 1001}, "splits = 1001"),
        ({"splits": 1000, "defenses": [{"name": "early_stop", "steps": list(range(1, 11))}]}, "11,000 models"),
        ({"model__timesteps": 0}, "model.timesteps is 0"),
        ({"model__norm_groups": 0}, "model.norm_groups is 0"),
        ({"model__layers_per_block": 0}, "model.layers_per_block is 0; it must be at least 1"),
        ({"execution__device": "tpu"}, "execution.device = 'tpu'"),
        ({"data__dataset": "digit"}, "did you mean 'digits'?"),
        ({"model__name": "unte"}, "unknown model 'unte'; did you mean 'unet'?"),
        ({"model__chanels": [8]}, "'unet' has no parameter 'chanels'; did you mean 'channels'?"),
        ({"model__channels": [12]}, "norm_groups"),
        ({"model": {}}, "model must have a key 'name'"),
        ({"defenses": [{"name": "dp_sdg"}]}, "defenses[0]: unknown defense 'dp_sdg'; did you mean 'dp_sgd'?"),
        ({"defenses": [{"name": "dp_sgd", "epsilon": "ten"}]}, "epsilon is 'ten'; it must be a number"),
        ({"defenses": [{"name": "dp_sgd", "epsilon": [1, -1]}]}, "epsilon"),
        ({"defenses": [{"name": "dp_sgd", "eps": 1}]}, "'dp_sgd' has no parameter 'eps'"),
        ({"defenses": [{"name": "dp_sgd", "epsilon": []}]}, "defenses[0].epsilon is an empty list"),
        ({"defenses": [{"epsilon": 1}]}, "defenses[0] must have a key 'name'"),
        ({"defenses": [{"name": "dedup"}, {"name": "dedup"}]}, "defenses lists 'dedup' twice"),
        ({"defenses": [{"stack": [{"name": "dedup"}], "steps": 1}]}, "has both 'stack' and 'steps'"),
        ({"defenses": [{"stack": []}]}, "stack must be a list"),
        ({"attacks__losss": {}}, "unknown attack 'losss'; did you mean 'loss'?"),
        ({"attacks__loss__draw": 3}, "'loss' has no parameter 'draw'; did you mean 'draws'?"),
        ({"attacks__loss__draws": True}, "draws is True; it must be a whole number"),
        ({"attacks__extraction__alpha": 0.0}, "alpha is 0.0"),
        ({"metrics__names": ["fdi"]}, "metrics.names[0]: unknown metric 'fdi'; did you mean 'fid'?"),
        (
            {"metrics__names": [{"name": "precision", "k": 0}]},
            "metrics.precision.k is 0; it must be at least 1",
        ),
        ({"metrics__names": ["fid", {"name": "recall", "n": 5}]}, "metrics.names[1]: 'recall' has no parameter 'n'"),
        ({"metrics__names": ["fid", {"k": 5}]}, "metrics.names[1] must have a key 'name'"),
        ({"metrics__names": ["fid", {"name": "recall", "k": 3}, "recall"]}, "metrics.names lists 'recall' twice"),
        ({"metrics__names": [5]}, "metrics.names.0"),
        ({"metrics__features": "embeded"}, "unknown feature extractor 'embeded'"),
        ({"statistics__audit_guesses": 90}, "it must not exceed 88, the number of pool images"),
        ({"statistics__audit_guesses": [20, 90]}, "statistics.audit_guesses is 90, but it must not exceed 88"),
        ({"statistics__audit_guesses": "1/60"}, "a share must come to at least 2 guesses"),
        *(
            ({"statistics__audit_guesses": wrong}, "it must be an even number of guesses (100), a share of the coins")
            for wrong in (7, 0, True, 0.3, "3/2", "0/3", "third", [], [20, 7], [[20]])
        ),
    ],
)
def test_bad_settings_are_named(changes: dict[str, object], says: str) -> None:
    assert says in refusal(**changes)


def test_numbers_of_guesses_may_be_shares_of_the_coins() -> None:
    default = parse_config({"name": "a"}).statistics
    assert default.audit_guesses == (100, "1/3")
    assert default.guesses(576) == (100, 192)
    assert default.guesses(305) == (100,)  # 101 is rounded down to 100, which counts once
    one = parse_config(small(statistics__audit_guesses=40)).statistics
    assert (one.audit_guesses, one.guesses(576)) == (40, (40,))
    assert parse_config(small(statistics__audit_guesses="1/1")).statistics.guesses(9) == (8,)


def test_a_smoke_run_guesses_less(tmp_path: Path) -> None:
    assert load_config("digits", smoke=True).statistics.audit_guesses == (40, "1/3")
    for given, left in ((100, 40), (20, 20), ([100, "1/4", 30], (40, "1/4", 30))):
        path = write_toml(tmp_path / "a.toml", small(statistics__audit_guesses=given))
        assert load_config(path, smoke=True).statistics.audit_guesses == left


def test_bad_files_are_named(tmp_path: Path) -> None:
    for source, says in (
        (str(tmp_path / "none.toml"), "does not exist"),
        ("digts", "did you mean 'digits'?"),
        (write_toml(tmp_path / "a.toml", {}), "lacks the key 'name'"),
    ):
        with pytest.raises(InputError, match=says.replace("?", r"\?")):
            load_config(source)
    (tmp_path / "b.toml").write_text("name = ")
    with pytest.raises(InputError, match="not valid TOML"):
        load_config(str(tmp_path / "b.toml"))


def test_a_bundled_benchmark_is_found_next_to_a_folder_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("digits", "mine"):
        (tmp_path / name).mkdir()
    assert load_config("digits").name == "digits"
    with pytest.raises(InputError, match="config 'mine' is a folder"):
        load_config("mine")


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = write_toml(tmp_path / "a.toml", small())
    Path(path).write_bytes(b"\xef\xbb\xbf" + Path(path).read_bytes())
    assert load_config(path) == parse_config(small())


def test_overrides_change_single_settings(tmp_path: Path) -> None:
    path = write_toml(tmp_path / "a.toml", small())
    changes = ("training.steps=7", "data.dataset=mnist", "metrics.names=['kid']", "sampling.eta = 0.5")
    config = load_config(path, changes)
    assert (config.training.steps, config.data.dataset, config.metrics.names) == (7, "mnist", ("kid",))
    assert config.sampling.eta == 0.5
    refused = {"training.steps": "key=value", "training.stepz=1": "'training.stepz'", "name.x=1": "section"}
    for bad, says in refused.items():
        with pytest.raises(InputError, match=says):
            load_config(path, (bad,))


@pytest.mark.parametrize("name", bundled())
@pytest.mark.parametrize("smoke", [False, True])
def test_every_bundled_benchmark_is_valid(name: str, smoke: bool) -> None:
    plan = make_plan(load_config(name, smoke=smoke))
    assert plan.cells
    assert plan.attacks


def test_a_key_with_a_dot_in_it_is_named_in_full(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text('"a.b" = ' + "[" * 30 + "]" * 30)
    with pytest.raises(InputError, match=r"'a\.b' in the config is nested deeper"):
        load_config(str(config))


@pytest.mark.parametrize("params", ["", ", features_params = { side = 8 }", ", features_params = { side = 4 }"])
def test_a_smoke_run_has_enough_images_for_fid_of_pixels(params: str, tmp_path: Path) -> None:
    path = tmp_path / "pixels.toml"
    path.write_text(f'metrics = {{ names = ["fid"], features = "pixels"{params} }}')
    config = load_config(str(path), smoke=True)
    plan = make_plan(config)
    assert plan.extractor.dimensions < min(config.data.pool, config.sampling.images)
    assert plan.extractor.side == (4 if "4" in params else 5)


def test_a_smoke_run_is_named_as_one_in_its_report(tmp_path: Path) -> None:
    assert load_config("mnist").title == "MNIST: what each defense buys"
    assert "MNIST: what each defense buys (smoke run" in load_config("mnist", smoke=True).title
    bare = tmp_path / "bare.toml"
    bare.write_text('name = "bare"')
    assert load_config(str(bare), smoke=True).title.startswith("bare (smoke run")


def test_a_list_of_values_is_one_defense_for_each() -> None:
    points = expand([{"name": "none"}, {"name": "dp_sgd", "epsilon": [1, 10.0, 100], "max_grad_norm": 0.5}])
    assert [point.label for point in points] == [
        "none", "dp_sgd (epsilon=1)", "dp_sgd (epsilon=10)", "dp_sgd (epsilon=100)",
    ]  # fmt: skip
    assert [point.stack[0].epsilon for point in points[1:]] == [1, 10, 100]
    assert all(point.stack[0].max_grad_norm == 0.5 for point in points[1:])


def test_stacks_sweep_too_and_lines_can_be_named() -> None:
    points = expand([{"stack": [{"name": "dedup"}, {"name": "early_stop", "fraction": [0.2, 0.4]}], "label": "both"}])
    assert [point.label for point in points] == ["none", "both (fraction=0.2)", "both (fraction=0.4)"]
    assert [layer.name for layer in points[1].stack] == ["dedup", "early_stop"]
    assert expand([{"stack": [{"name": "dedup"}, {"name": "augment"}]}])[1].line == "dedup+augment"


def test_a_list_of_one_names_the_strength() -> None:
    [_, point] = expand([{"name": "dp_sgd", "epsilon": [10], "steps": 40}])
    assert (point.label, point.stack[0].steps) == ("dp_sgd (epsilon=10)", 40)
    assert expand([{"name": "dp_sgd", "epsilon": 10, "steps": 40}])[1].label == "dp_sgd (epsilon=10, steps=40)"


def test_the_undefended_model_is_always_there() -> None:
    assert [point.line for point in expand([{"name": "dedup"}])] == ["none", "dedup"]


def test_keys_change_with_what_decides_a_stage() -> None:
    base = make_plan(parse_config(small()))
    steps = make_plan(parse_config(small(training__steps=13)))
    samples = make_plan(parse_config(small(sampling__images=90)))
    attacked = make_plan(parse_config(small(attacks__pia={"timesteps": [50]})))
    workers = make_plan(parse_config(small(training__checkpoint_seconds=9)))

    def changed(other) -> set[str]:
        return {stage for stage, key in base.cells[0].keys.items() if other.cells[0].keys[stage] != key}

    assert changed(steps) == {"train", "sample", "features", "probe"}
    assert changed(samples) == {"sample", "features"}
    assert changed(attacked) == {"probe"}
    assert changed(workers) == set()


def test_splits_and_defenses_do_not_share_keys() -> None:
    plan = make_plan(parse_config(small(defenses=[{"name": "none"}, {"name": "dedup"}])))
    keys = [key for cell in plan.cells for key in cell.keys.values()]
    assert len(set(keys)) == len(keys) == 20


@pytest.mark.parametrize("name", ["cats", "0", "модель", "猫-2", "café_1.5"])
def test_a_runs_name_may_be_of_any_script(name: str) -> None:
    assert parse_config(small(name=name)).name == name


@pytest.mark.parametrize("name", ["", "_x", "-x", "=x", "a b", "a/b", "a\nb", "a\u202eb", ".."])
def test_a_runs_name_is_a_plain_folder_name(name: str) -> None:
    assert "name = " in refusal(name=name)
