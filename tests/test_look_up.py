"""`leakfront list` and `leakfront schema`: what a config can name, for people, programs and editors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from leakfront.attacks.suites import SUITES
from leakfront.cli import main
from leakfront.cli.look_up import ROOMS as NAMES
from leakfront.configs import bundled, bundled_studies
from leakfront.harness.rooms import ROOMS
from leakfront.harness.schema.config import config_schema
from leakfront.version import __version__


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def found(*arguments: str) -> dict[str, Any]:
    result = invoke("list", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    listing: dict[str, Any] = json.loads(result.stdout)
    return listing


def test_the_rooms_of_the_command_are_those_of_the_harness() -> None:
    assert list(NAMES) == list(ROOMS)


def test_the_list_for_programs_has_every_plug_in_of_every_room() -> None:
    whole = found()
    assert list(whole) == [*ROOMS, "suites", "benchmarks", "studies"]
    for room, registry in ROOMS.items():
        assert [plugin["name"] for plugin in whole[room]] == registry.names()
        for plugin in whole[room]:
            assert plugin["package"] == f"leakfront {__version__}"
            assert plugin["summary"]
            assert all(("default" in parameter) != parameter["required"] for parameter in plugin["parameters"])
    assert whole["suites"] == json.loads(json.dumps(SUITES))
    assert (whole["benchmarks"], whole["studies"]) == (bundled(), bundled_studies())


def test_parameters_are_listed_with_type_range_and_default() -> None:
    (private,) = found("defenses", "dp_sgd")["defenses"]
    parameters = {parameter["name"]: parameter for parameter in private["parameters"]}
    assert parameters["epsilon"] == {
        "name": "epsilon", "required": False, "default": 10.0, "type": "number", "exclusiveMinimum": 0,
    }  # fmt: skip
    assert parameters["delta"]["default"] is None
    assert parameters["clipping"]["enum"] == ["flat", "per_layer"]
    assert private["acts_on"] == "training"
    (given,) = found("models", "pipeline")["models"]
    path = given["parameters"][0]
    assert (path["name"], path["required"], "default" in path) == ("path", True, False)


def test_one_room_or_one_plug_in_is_listed_if_named() -> None:
    assert list(found("metrics")) == ["metrics"]
    assert list(found("attacks")) == ["attacks", "suites"]
    one = found("attacks", "pia")
    assert [plugin["name"] for plugin in one.pop("attacks")] == ["pia"]
    assert one == {}
    text = invoke("list", "attacks", "pia").stdout
    assert "norm = 4.0" in text
    assert "secmi" not in text
    assert "path, to be given" in invoke("list", "models", "pipeline").stdout


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_an_unknown_plug_in_is_answered_with_the_nearest(more: list[str]) -> None:
    result = invoke("list", "attacks", "secmy", *more)
    assert result.exit_code == 2
    assert "unknown attack 'secmy'; did you mean 'secmi'?" in result.stderr
    assert result.stdout == ""


def test_the_schema_is_written_to_stdout_alone() -> None:
    result = invoke("schema")
    assert (result.exit_code, result.stderr) == (0, "")
    assert json.loads(result.stdout) == config_schema()[0]
