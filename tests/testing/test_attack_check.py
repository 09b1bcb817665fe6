"""`check_attack` names what is wrong with an attack; good attacks pass it in tests/attacks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from leakfront.attacks import Attack, Generated, GenerationContext, Scores
from leakfront.attacks.blind import Blind
from leakfront.attacks.gsa import Gradients
from leakfront.attacks.loss import Loss, NoiseErrors
from leakfront.attacks.side import SIDE
from leakfront.models.gaussian import Gaussian
from leakfront.testing import check_attack
from tests import oracle_targets as oracle
from tests.testing.broken import Cases, broken, each_of, refused


@dataclass(frozen=True)
class Unchecked(Loss):
    __doc__ = Loss.__doc__

    def __post_init__(self) -> None:
        """No parameter is checked."""


@dataclass(frozen=True)
class Needy(Attack):
    __doc__ = Loss.__doc__
    name = "needy"
    summary = "an attack without a default"
    steps: int


LOOSE = type("Loose", (Loss,), {"__doc__": Loss.__doc__})
NAMELESS = broken(Attack, summary="one line")

STATEMENTS: Cases = [
    (Gaussian, r"must derive from leakfront\.attacks\.contract\.Attack"),
    (LOOSE, r"must be a @dataclass\(frozen=True\)"),
    (NAMELESS, "has no name; decorate its class with @register"),
    (Needy, "the parameters steps of attack 'needy' must have defaults"),
    (Unchecked, r"takes any object as timesteps; call super\(\)\.__post_init__"),
    (broken(Loss, summary="two\nlines"), "the summary of attack 'loss' must be one line"),
    (broken(Loss, summary=""), "the summary of attack 'loss' must be one line"),
    (broken(Loss, __doc__=None), "attack 'loss' needs a docstring"),
    (broken(Loss, __doc__="Access: loss. Model calls per image: 3."), "must state the year of its source"),
    (broken(Loss, __doc__="By A. Author 2024. Model calls per image: 3."), 'must state "Access'),
    (broken(Loss, __doc__="By A. Author 2024. Access: loss."), 'must state "Model calls'),
    (broken(Loss, access="weights"), "the access of attack 'loss' must be one of"),
    (broken(Loss, shadows="all"), "the shadows of attack 'loss' must be one of"),
    (broken(Loss, minimum_shadows=1), "must be 0 unless shadows is 'fit'"),
    (broken(Loss, minimum_pool=lambda self: 500), "needs a pool of 500 images"),
    (broken(Loss, note=lambda self, shadows: "a\nb"), "the note of attack 'loss' on 0 shadow models must be one line"),
    (broken(Loss, set_sizes=lambda self: (1, 10)), "the set_sizes of attack 'loss' must be at least 2"),
]


def measuring(measure: Callable[..., Any], **fields: Any) -> Any:
    """An attack with a signal that measures with `measure(signal, queries)`."""
    made = type("Measured", (), {"__annotations__": dict.fromkeys(fields, "Any"), "measure": measure, **fields})
    signal = dataclass(frozen=True)(made)()
    return broken(Loss, signal=property(lambda self: signal))


def errors(queries: Any) -> torch.Tensor:
    found: torch.Tensor = NoiseErrors((100,), 1).measure(queries)["errors"]
    return found


def changing(self: Any) -> list[NoiseErrors]:
    return [NoiseErrors((int(np.random.default_rng().integers(1000)),), 1)]


class Thawed:
    """A signal that is not frozen."""

    def measure(self, queries: Any) -> dict[str, torch.Tensor]:
        return {"errors": errors(queries)}


@dataclass(frozen=True)
class OneImage:
    """A generation of images in another shape."""

    served = False

    def generate(self, context: GenerationContext) -> Generated:
        return Generated(context.samples[:1, :, :2], np.array([-1]))

    def images(self, pool: int, samples: int) -> float:
        return 1.0


SIGNALS: Cases = [
    (broken(Loss, signal=property(lambda self: Thawed())), "Thawed of attack 'loss' must be a @dataclass"),
    (broken(Loss, access="samples"), "access must be 'loss' or 'gradients' if it asks the model"),
    (
        broken(Loss, signal=property(lambda self: Gradients((10,), True))),
        "the access of attack 'loss' must be 'gradients'",
    ),
    (broken(Loss, signals=lambda self: [NoiseErrors((1,), 1)]), r"the signal of attack 'loss' must be among its"),
    (broken(Loss, signals=changing), "must ask for the same signals each time"),
    (measuring(lambda self, q: {"errors": errors(q)}, view=object()), "has a parameter without a stable text"),
    (measuring(lambda self, q: {"errors": errors(q) - errors(q).mean()}), "depends on the other images of the batch"),
    (measuring(lambda self, q: {"errors": errors(q) + torch.rand(1)}), "must measure the same each time"),
    (measuring(lambda self, q: {"errors": errors(q).mean()[None]}), "must have one entry for each image of the batch"),
    (measuring(lambda self, q: {"errors": errors(q).numpy()}), r"must be a torch\.Tensor"),
    (measuring(lambda self, q: {"errors": errors(q) / 0}), "'errors' of Measured of attack 'loss' must be finite"),
    (measuring(lambda self, q: {"a/b": errors(q)}), "must be a text without '/'"),
    (measuring(lambda self, q: {}), "Measured of attack 'loss' must measure something"),
    (measuring(lambda self, q: q.nothing), "measure raised AttributeError"),
    (broken(SIDE, generations=lambda self: [OneImage()]), "must generate uint8 images of the"),
]  # fmt: skip


def scoring(change: Callable[..., Any], base: Any = Loss, **members: Any) -> Any:
    """An attack whose scores are changed by change(scores [P], target)."""

    def score(self: Any, target: Any, shadows: Any) -> Scores:
        return Scores(change(base.score(self, target, shadows).score, target))

    return broken(base, score=score, **members)


def spoiled(target: Any) -> np.ndarray:
    target.pool.images[0] = 0
    return np.zeros(len(target.pool.images))


def looks_at_samples(score: np.ndarray, target: Any) -> np.ndarray:
    nearest = oracle.nearest_pool_image(target.samples, target.pool.images)
    return np.isin(np.arange(len(score)), nearest).astype(float)


def remembers_captions(score: np.ndarray, target: Any) -> np.ndarray:
    known = {text for text, member in zip(oracle.captions(), oracle.coins(1), strict=True) if member}
    return np.array([float(text in known) for text in target.pool.captions])


SCORES: Cases = [
    (scoring(lambda score, _: -score), r"does not find the members of a memorizer \(AUC 0\.00\): does a higher score"),
    (scoring(lambda score, target: score + target.members), "asks the target for 'members', which no attacker has"),
    (scoring(lambda score, target: score + getattr(target, "coins", 0)), "asks the target for 'coins'"),
    (scoring(lambda score, _: score + 1e-3 * np.arange(120)), "another score if the pool is in another order or batch"),
    (scoring(lambda score, _: score + np.random.default_rng().random()), "other scores for the same target and seed"),
    (scoring(lambda score, target: score + spoiled(target)), "changes its target in place: images"),
    (scoring(looks_at_samples, Blind), "does not look at the model, so it must not tell members from decoys"),
    (scoring(remembers_captions, needs_captions=True), "with coins swapped, does not find the members"),
    (scoring(lambda score, _: score[1:]), "must return one float for each of the 120 pool images"),
    (scoring(lambda score, _: score * np.inf), "returns 120 scores that are not finite"),
    (scoring(lambda score, _: 1 / 0), "score with 0 shadow models raised ZeroDivisionError"),
    (broken(Loss, score=lambda self, target, shadows: np.zeros(120)), "must return Scores, not ndarray"),
    (broken(Loss, score=Attack.score), "score with 0 shadow models raised NotImplementedError"),
    (broken(Loss, score=lambda *_: Scores(np.zeros(120), {"rule": np.zeros(120)})), "the rule 'rule' of attack 'loss'"),
    (broken(Loss, score=lambda *_: Scores(np.zeros(120), {}, {"a": np.array(["b"])})), "must be an array of numbers"),
    (broken(Loss, score=lambda *_: Scores(np.zeros(120), {}, {}, {"a": {1}})), "writing its choices as JSON raised"),
]  # fmt: skip


@each_of([*STATEMENTS, *SIGNALS, *SCORES])
def test_a_bad_attack_is_caught(plugin: Any, says: str) -> None:
    refused(check_attack, says, plugin)


def test_an_attack_that_cannot_work_on_the_examples_asks_for_other_parameters() -> None:
    from leakfront.attacks.generate_and_filter import GenerateAndFilter

    refused(check_attack, r"do its parameters suit 160 samples\?", GenerateAndFilter)
    check_attack(GenerateAndFilter(clique=3))


def test_an_attack_that_needs_captions_is_checked_on_text_models() -> None:
    check_attack(broken(Loss, needs_captions=True)(timesteps=(100,), draws=1))


def test_an_attack_of_many_parameters_may_be_checked_as_an_instance() -> None:
    check_attack(Loss(timesteps=(100,), draws=1))
    with pytest.raises(AssertionError, match="must derive from"):
        check_attack(object())  # type: ignore[arg-type]
