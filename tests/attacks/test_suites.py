"""The name of a suite is a promise: the same attacks with the same settings and the same outcome."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leakfront import attacks
from leakfront.attacks.contract import Attack, signal_key
from leakfront.attacks.suites import SUITES, V1, chosen_attacks
from leakfront.errors import InputError
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.file import load_config
from leakfront.harness.training.loop import to_unit_range
from leakfront.models import DiffusionModel
from leakfront.models.planted_leak import PlantedLeak
from leakfront.registry import build
from leakfront.testing import oracles
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


@cache
def model_of(seed: int, extracts: bool, captioned: bool = False) -> DiffusionModel:
    """An oracle that repeats a few members, for attacks on samples; for other attacks, one whose losses all differ.

    captioned: a text model, which repeats each member to its caption.
    """
    texts = oracle.captions() if captioned else None
    members, theirs = oracle.chosen(oracle.digits()[: oracle.POOL], texts, oracle.coins(seed))
    if captioned or not extracts:
        return oracle.fitted("memorizer" if extracts else "gaussian", members, theirs)
    model = PlantedLeak(0.5).build((1, 8, 8), 0, 0)
    model.fit(to_unit_range(np.concatenate([members, members[:PLANTED]])))
    return model


def outcome(attack: attacks.Attack) -> list[float]:
    """The scores of some images, including the planted ones."""
    images, texts = oracle.digits()[: oracle.POOL], oracle.captions() if attack.needs_captions else None
    repeats = attack.extracts or attack.of_captions  # captions bend no prediction of a Gaussian
    model, *others = (model_of(seed, repeats, attack.needs_captions) for seed in (1, 2, 3))
    coins = [oracle.coins(seed) for seed in (2, 3)]
    known = zip(others, coins, strict=True) if attack.uses_shadows else ()
    shadows = [oracle.shadow(attack, other, images, c, texts) for other, c in known]
    score = attack.score(oracle.target(attack, model, images, texts=texts), shadows).score
    return [float(f"{value:.6g}") for value in score[:IMAGES]]


@pytest.fixture(scope="module")
def outcomes() -> Iterator[Callable[[attacks.Attack], list[float]]]:
    """`outcome`, found once for the attacks that suites share. Each model is sampled, and asked each question, once."""
    sample, measure = oracles.sampled, oracles.measured
    samples = {id(model): sample(model) for model in map(model_of, (1, 2, 3, 1, 2, 3), (True,) * 3 + (False,) * 3)}
    answers: dict[tuple[str, int, bytes], attacks.Signals] = {}
    found: dict[str, list[float]] = {}

    def sampled(model: DiffusionModel, *how: int) -> np.ndarray:
        return sample(model, *how) if how or id(model) not in samples else samples[id(model)].copy()

    def measured(
        signals: Sequence[Any], model: DiffusionModel, images: np.ndarray, size: int = 50, texts: Any = None
    ) -> attacks.Signals:
        arrays: dict[str, np.ndarray] = {}
        for signal in signals:
            question = (signal_key(signal), id(model), images.tobytes())
            if question not in answers:
                answers[question] = measure([signal], model, images, size, texts)
            arrays |= answers[question]._arrays
        return attacks.Signals(arrays)

    def of(attack: attacks.Attack) -> list[float]:
        if repr(attack) not in found:
            found[repr(attack)] = outcome(attack)
        return found[repr(attack)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(oracles, "sampled", sampled)
        patch.setattr(oracles, "measured", measured)
        yield of


# "t2i-v1" has the attacks of "v1", which have their outcomes there
LABELS = [(suite, label) for suite, named in SUITES.items() for label in named if suite != "t2i-v1" or label not in V1]


@pytest.mark.parametrize(("suite", "label"), LABELS)
def test_the_outcome_of_an_attack_is_that_of_its_suite(
    suite: str, label: str, outcomes: Callable[[attacks.Attack], list[float]]
) -> None:
    """For an intended change, make a new version of the suite under a new name, and store its outcomes by
    `python -m tests.attacks.test_suites NAME`."""
    stored = json.loads(STORED.read_text())
    scores = outcomes(built(suite)[label])
    assert len(set(scores)) > 1
    # fits amplify the differences between processors in the last digits of signals
    largest = 5e-2 if built(suite)[label].shadow_use == "fit" else 2e-2
    np.testing.assert_allclose(
        scores, stored[suite][label], rtol=largest, atol=largest * np.abs(stored[suite][label]).max()
    )


def test_no_outcome_is_stored_of_an_attack_that_is_gone() -> None:
    stored = json.loads(STORED.read_text())
    assert {(suite, label) for suite in stored for label in stored[suite]} == set(LABELS)


def _lacks(attack: type[Attack]) -> bool:
    """Whether it needs what most models do not have."""
    return attack.needs_captions or attack.needs_base or attack.needs_discriminator


@pytest.mark.parametrize("suite", ["v1", "v2"])
def test_the_whole_suites_hold_every_attack_on_any_model(suite: str) -> None:
    known = {name: attacks.registry.get(name) for name in attacks.registry.names()}
    of_any = {name for name, attack in known.items() if not _lacks(attack)}
    assert {attack.name for attack in built(suite).values()} == of_any


def test_the_suite_of_text_models_has_every_attack_of_v1_as_it_is() -> None:
    assert {label: params for label, params in SUITES["t2i-v1"].items() if label in V1} == V1


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


@pytest.mark.parametrize(("timesteps", "secmi", "interval", "pia"), [
    (100, [2, 4, 6, 9], 1, [5, 10, 15, 20, 25, 30]),
    (300, [6, 12, 18, 27], 3, [15, 30, 45, 60, 75, 90]),
    (4000, [80, 160, 240, 360], 40, [200, 400, 600, 800, 1000, 1200]),
    (10, [1, 2], 1, [1, 2, 3]),
])  # fmt: skip
def test_the_timesteps_of_a_suite_are_the_same_share_of_every_models_timesteps(
    timesteps: int, secmi: list[int], interval: int, pia: list[int]
) -> None:
    name, chosen = chosen_attacks("quick-v2", {"loss": {"draws": 1}}, timesteps)
    assert name == f"quick-v2, scaled to T = {timesteps}, changed"
    if timesteps > 10:
        assert chosen["secmi"]["timesteps"] == secmi
    assert chosen["secmi"]["interval"] == interval
    assert chosen["pia"]["timesteps"] == pia
    assert chosen["loss"]["draws"] == 1
    assert chosen["extraction"] == SUITES["quick-v2"]["extraction"]


@pytest.mark.parametrize("timesteps", [50, 100, 300, 999, 1001])
@pytest.mark.parametrize("suite", SUITES)
def test_scaled_settings_are_taken_by_the_attacks_and_stay_below_the_models_timesteps(
    suite: str, timesteps: int
) -> None:
    assert chosen_attacks(suite, {}, 1000) == (suite, SUITES[suite])
    for label, params in chosen_attacks(suite, {}, timesteps)[1].items():
        name = params.get("attack", label)
        build(attacks.registry, name, {k: v for k, v in params.items() if k != "attack"}, label)
        assert max(params.get("timesteps", [0])) < timesteps
        assert len(set(params.get("timesteps", []))) == len(params.get("timesteps", []))
        assert (0 in params.get("timesteps", [])) == (0 in SUITES[suite][label].get("timesteps", []))


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
        outcomes[suite] = {label: outcome(attack) for label, attack in built(suite).items() if (suite, label) in LABELS}
    STORED.write_text(json.dumps(outcomes, indent=1) + "\n")
