"""The name of a suite is a promise: the same attacks with the same settings and the same outcome."""

from __future__ import annotations

import json
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leakfront import attacks
from leakfront.attacks.suites import SUITES, chosen_attacks
from leakfront.errors import InputError
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.file import load_config
from leakfront.harness.training.loop import to_unit_range
from leakfront.models import DiffusionModel
from leakfront.models.planted_leak import PlantedLeak
from leakfront.registry import build
from tests import oracle_targets as oracle

STORED = Path(__file__).with_name("suite_outcomes.json")
IMAGES, PLANTED = 16, 6  # images with stored scores, and images that the oracle leaks


def built(suite: str) -> dict[str, attacks.Attack]:
    return {
        label: build(
            attacks.registry, params.get("attack", label), {k: v for k, v in params.items() if k != "attack"}, label
        )
        for label, params in SUITES[suite].items()
    }


def model_of(members: np.ndarray, extracts: bool) -> DiffusionModel:
    """An oracle that repeats a few members, for attacks on samples; for other attacks, one whose losses all differ."""
    if not extracts:
        return oracle.fitted("gaussian", members)
    model = PlantedLeak(0.5).build((1, 8, 8), 0, 0)
    model.fit(to_unit_range(np.concatenate([members, members[:PLANTED]])))
    return model


def outcome(attack: attacks.Attack) -> list[float]:
    """The scores of some images, including the planted ones."""
    images = oracle.digits()[: oracle.POOL]
    coins = [oracle.coins(seed) for seed in (1, 2, 3)]
    models = [model_of(images[members], attack.extracts) for members in coins]
    shadows = [oracle.shadow(attack, m, images, c) for m, c in zip(models[1:], coins[1:], strict=True)]
    score = attack.score(oracle.target(attack, models[0], images), shadows).score
    return [float(f"{value:.6g}") for value in score[:IMAGES]]


LABELS = [(suite, label) for suite, named in SUITES.items() for label in named]


@pytest.mark.parametrize(("suite", "label"), LABELS)
def test_the_outcome_of_an_attack_is_that_of_its_suite(suite: str, label: str) -> None:
    """For an intended change, make a new version of the suite under a new name, and store its outcomes by
    `python -m tests.attacks.test_suites NAME`."""
    stored = json.loads(STORED.read_text())
    scores = outcome(built(suite)[label])
    assert len(set(scores)) > 1
    # fits amplify the differences between processors in the last digits of signals
    largest = 5e-2 if built(suite)[label].shadows == "fit" else 2e-2
    np.testing.assert_allclose(
        scores, stored[suite][label], rtol=largest, atol=largest * np.abs(stored[suite][label]).max()
    )


def test_no_outcome_is_stored_of_an_attack_that_is_gone() -> None:
    stored = json.loads(STORED.read_text())
    assert {(suite, label) for suite in stored for label in stored[suite]} == set(LABELS)


@pytest.mark.parametrize("suite", ["v1", "v2"])
def test_the_whole_suites_hold_every_attack(suite: str) -> None:
    assert {attack.name for attack in built(suite).values()} == set(attacks.registry.names())


@pytest.mark.parametrize("suite", list(SUITES))
def test_a_suite_states_every_setting(suite: str) -> None:
    """A new default of an attack must not change a suite."""
    for label, attack in built(suite).items():
        stated = {key for key in SUITES[suite][label] if key != "attack"}
        assert stated == {field.name for field in fields(attack)} - {"device", "memory_mib"}, (
            label
        )  # decide speed alone


@pytest.mark.parametrize("suite", ["quick-v2", "v2"])
def test_an_attack_that_can_be_calibrated_is_there_in_both_forms(suite: str) -> None:
    suite_attacks = built(suite)
    able = {
        label for label, attack in suite_attacks.items() if attack.shadow_use != "fit" and hasattr(attack, "calibrated")
    }
    assert able
    assert {label for label in able if not label.endswith("_calibrated")} == {
        label.removesuffix("_calibrated") for label in able if label.endswith("_calibrated")
    }


def test_the_quick_suite_is_part_of_the_whole_one() -> None:
    """Only SecMI and PIA look at more timesteps there."""
    quick, whole = SUITES["quick-v2"], SUITES["v2"]
    assert set(quick) <= set(whole)
    differ = {label for label in quick if quick[label] != whole[label]}
    assert differ == {"secmi", "secmi_calibrated", "pia", "pia_calibrated"}


@pytest.mark.parametrize(
    ("suite", "own", "called", "labels"),
    [
        ("", {}, "quick-v2", set(SUITES["quick-v2"])),
        ("v1", {}, "v1", set(SUITES["v1"])),
        ("", {"loss": {}}, "own", {"loss"}),
        ("quick", {"secmi": {}}, "quick", set(SUITES["quick"])),
        ("quick", {"secmi": {"timesteps": [50]}}, "quick, changed", set(SUITES["quick"])),
        ("quick", {"sima": {}}, "quick, changed", {*SUITES["quick"], "sima"}),
    ],
)
def test_a_suite_that_was_changed_does_not_keep_its_name(
    suite: str, own: dict[str, Any], called: str, labels: set[str]
) -> None:
    name, chosen = chosen_attacks(suite, own)
    assert name == called
    assert set(chosen) == labels


def test_changing_one_setting_keeps_the_others_of_the_suite() -> None:
    _, chosen = chosen_attacks("quick", {"loss": {"draws": 9}})
    assert chosen["loss"] == {**SUITES["quick"]["loss"], "draws": 9}
    assert SUITES["quick"]["loss"]["draws"] != 9


def test_two_attacks_may_be_one_with_different_settings() -> None:
    plan = make_plan(load_config("digits", ('attacks={a={attack="loss",draws=1},b={attack="loss",draws=2}}',)))
    assert {label: (attack.name, attack.draws) for label, attack in plan.attacks.items() if label in "ab"} == {
        "a": ("loss", 1), "b": ("loss", 2),
    }  # fmt: skip
    assert plan.suite == "quick-v2, changed"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("suite=v9", "suite = 'v9' does not exist"),
        ('attacks={"a/b"={attack="loss"}}', "attacks.a/b: a label must consist of letters"),
        ("attacks={lossy={}}", "unknown attack 'lossy'; did you mean 'loss'"),
        ('attacks={a={attack="loss",drws=1}}', "attacks.a: 'loss' has no parameter 'drws'"),
    ],
)
def test_a_wrong_suite_or_attack_is_named(override: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_plan(load_config("digits", (override,)))


if __name__ == "__main__":
    wanted = sys.argv[1:] or list(SUITES)
    outcomes = json.loads(STORED.read_text()) if STORED.exists() else {}
    for suite in wanted:
        outcomes[suite] = {label: outcome(attack) for label, attack in built(suite).items()}
    STORED.write_text(json.dumps(outcomes, indent=1) + "\n")
