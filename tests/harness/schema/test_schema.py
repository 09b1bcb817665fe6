"""The schema takes what the harness takes, and refuses the keys and values that the harness refuses."""

from __future__ import annotations

import json
import tomllib
from importlib import resources
from typing import Any

import jsonschema
import pytest

from leakfront.configs import bundled
from leakfront.errors import InputError
from leakfront.harness.plan.make import make_plan
from leakfront.harness.rooms import ROOMS
from leakfront.harness.schema.config import config_schema
from leakfront.harness.schema.parameters import for_toml, parameter_schemas
from leakfront.harness.settings.sections import parse_config
from leakfront.parameters import checked
from tests.small_config import small

FILES = resources.files("leakfront.configs")


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    found, not_loaded = config_schema()
    assert not_loaded == []
    return found


@pytest.fixture(scope="module")
def validator(schema: dict[str, Any]) -> Any:
    jsonschema.Draft7Validator.check_schema(schema)
    return jsonschema.Draft7Validator(schema)


def complaints(validator: Any, settings: dict[str, Any]) -> list[str]:
    as_toml_has_it = json.loads(json.dumps(settings))
    return [f"{list(error.absolute_path)}: {error.message}" for error in validator.iter_errors(as_toml_has_it)]


@pytest.mark.parametrize("name", bundled())
def test_every_bundled_benchmark_is_valid_and_names_the_schema(name: str, validator: Any) -> None:
    text = FILES.joinpath(f"{name}.toml").read_text()
    first = text.splitlines()[0]
    assert first.startswith("#:schema ./")
    assert FILES.joinpath(first.removeprefix("#:schema ./")).is_file()
    assert complaints(validator, tomllib.loads(text)) == []


def test_the_schema_beside_them_is_the_one_that_the_command_makes(schema: dict[str, Any]) -> None:
    beside = json.loads(FILES.joinpath("schema.json").read_text())
    assert beside == schema, "make it again: leakfront schema > leakfront/configs/schema.json"


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"suite": "v1", "attacks": {"lira_online": {"draws": 2}, "mine": {"attack": "loss", "draws": 2}}},
        {"data": {"dataset": "folder:images", "params": {"size": 32}}},
        {"data": {"dataset": "folder", "params": {"path": "images"}}},
        {"data": {"dataset": "mnist", "params": {"root": "data", "download": True}}},
        {"defenses": [{"name": "dp_sgd", "label": "private", "epsilon": [1, 10.0]}, {"name": "none"}]},
        {"defenses": [{"label": "both", "stack": [{"name": "dedup"}, {"name": "early_stop", "fraction": [0.5]}]}]},
        {"metrics__names": ["fid", {"name": "precision", "k": 3}]},
        {"metrics": {"features": "pixels", "features_params": {"side": 4}}},
        {"statistics__audit_guesses": "1/3"},
        {"statistics__audit_guesses": [100, "1/4"]},
        {"execution": {"device": "cuda:1", "ray": {"memory_gib": 4, "resources": {"node": 1}}}},
    ],
)
def test_what_the_harness_takes_is_valid(changes: dict[str, Any], validator: Any) -> None:
    assert complaints(validator, small(**changes)) == []
    parse_config(small(**changes))


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"trainin": {}}, "trainin"),
        ({"training__step": 5}, "step"),
        ({"training__steps": "5"}, "steps"),
        ({"training__steps": 0}, "steps"),
        ({"seed": -1}, "seed"),
        ({"name": "a/b"}, "name"),
        ({"splits": 1001}, "splits"),
        ({"data__coin": 1.0}, "coin"),
        ({"data__duplicates__kind": "blurred"}, "kind"),
        ({"data__dataset": "digit"}, "dataset"),
        ({"data__params": {"size": 8}}, "size"),
        ({"data": {"dataset": "folder:images", "params": {"path": "images"}}}, "path"),
        ({"data": {"dataset": "folder"}}, "params"),
        ({"data": {"dataset": "members_decoys", "params": {"members": "a"}}}, "decoys"),
        ({"suite": "v3"}, "suite"),
        ({"model": {}}, "name"),
        ({"model__name": "unte"}, "unte"),
        ({"model__chanels": [8]}, "chanels"),
        ({"model__timesteps": 0}, "timesteps"),
        ({"model__channels": 8}, "channels"),
        ({"defenses": [{"name": "dp_sdg"}]}, "dp_sdg"),
        ({"defenses": [{"epsilon": 1}]}, "name"),
        ({"defenses": [{"name": "dp_sgd", "eps": 1}]}, "eps"),
        ({"defenses": [{"name": "dp_sgd", "epsilon": [1, -1]}]}, "epsilon"),
        ({"defenses": [{"name": "dp_sgd", "epsilon": []}]}, "epsilon"),
        ({"defenses": [{"name": "dp_sgd", "label": "=1"}]}, "label"),
        ({"defenses": [{"stack": [{"name": "dedup"}], "steps": 1}]}, "steps"),
        ({"defenses": [{"stack": []}]}, "stack"),
        ({"defenses": [{"stack": [{"name": "dedup", "label": "a"}]}]}, "label"),
        ({"defenses": [{"stack": [{"name": "dedup", "bits": 64}]}]}, "bits"),
        ({"attacks__losss": {}}, "attack"),
        ({"attacks": {"a b": {"attack": "loss"}}}, "a b"),
        ({"attacks__loss__draw": 3}, "draw"),
        ({"attacks__loss__draws": True}, "draws"),
        ({"attacks": {"mine": {"attack": "loss", "draws": 0}}}, "draws"),
        ({"metrics__names": ["fdi"]}, "fdi"),
        ({"metrics__names": [{"name": "precision", "k": 0}]}, "k"),
        ({"metrics__names": [{"k": 5}]}, "name"),
        ({"metrics__features": "embeded"}, "features"),
        ({"metrics__features_params": {"side": 4}}, "side"),
        ({"statistics__audit_guesses": 7}, "audit_guesses"),
        ({"statistics__audit_guesses": []}, "audit_guesses"),
        ({"statistics__audit_guesses": "third"}, "audit_guesses"),
        ({"execution__device": "tpu"}, "device"),
        ({"figures": ["tradeoff"]}, "figures"),
    ],
)
def test_what_the_harness_refuses_is_not_valid(changes: dict[str, Any], at: str, validator: Any) -> None:
    found = complaints(validator, small(**changes))
    assert any(at in sentence for sentence in found), found
    with pytest.raises(InputError):
        make_plan(parse_config(small(**changes)))


VALUES: tuple[Any, ...] = (
    -1, 0, 1, 2, 3, 64, 10**6, -0.5, 0.5, 1.5, 30.5, True, "", "grey", "exact", "rdp", [], [0], [1, 2], [-1], [0.5],
    ["a"], {}, [[1]],
)  # fmt: skip


def test_each_parameter_of_each_plug_in_has_the_range_that_is_checked() -> None:
    compared = 0
    for registry in ROOMS.values():
        for name in registry.names():
            plugin = registry.get(name)
            for key, schema in parameter_schemas(plugin).items():
                validator = jsonschema.Draft7Validator(schema)
                for value in VALUES:
                    try:
                        checked(plugin, {key: value}, name)
                        taken = True
                    except InputError:
                        taken = False
                    assert validator.is_valid(value) == taken, (name, key, value)
                    compared += 1
    assert compared > 3000


def test_a_schema_for_toml_has_neither_null_nor_words_of_later_drafts() -> None:
    pair = {"anyOf": [{"prefixItems": [{"type": "number"}, {"type": "string"}], "title": "A"}, {"type": "null"}]}
    made = for_toml({"properties": {"title": {**pair, "default": None}}, "title": "Whole"})
    items = [{"type": "number"}, {"type": "string"}]
    assert made == {"properties": {"title": {"items": items, "additionalItems": False}}}
