"""`check_defense` names what is wrong with a defense; good defenses pass it in tests/defenses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from leakfront.defenses import Defense, Guarantee, TrainingSet
from leakfront.defenses.training.plain_step import PlainStep
from leakfront.testing import check_defense
from tests.testing.broken import Cases, broken, each_of, refused

STATED = {
    "name": "bad",
    "summary": "one line",
    "acts_on": "data",
    "__doc__": "A defense for tests (nobody 2025) that does nothing at all unless it is broken.",
}


def defense(**members: Any) -> Any:
    return broken(Defense, **{**STATED, **members})


STATEMENTS: Cases = [
    (defense(__doc__="Too short."), "the docstring of defense 'bad' must say what it does"),
    (defense(covers=""), "the covers of defense 'bad' must be one line"),
    (defense(acts_on="images"), "the acts_on of defense 'bad' is 'images'; it must be one of"),
    (defense(guard=lambda self, sampler, serving: sampler), "guard is called only if acts_on is 'sampling'"),
    (defense(acts_on="sampling"), "guard is called only if acts_on is 'sampling'"),
    (defense(relative_cost=lambda self, steps, batch_size: -1.0), "must be above 0 and finite"),
    (defense(unit=lambda self, unit: ""), "the unit of defense 'bad' must be one line"),
    (defense(check=lambda self, size, batch: 1 / 0), "check for 64 images in batches of 8 raised ZeroDivisionError"),
]


def preparing(prepare: Callable[[TrainingSet], Any]) -> Any:
    return defense(prepare=lambda self, dataset: prepare(dataset))


def darkened(dataset: TrainingSet) -> TrainingSet:
    dataset.images[:] = 0
    return dataset


def shuffled(dataset: TrainingSet) -> TrainingSet:
    return dataset.select(np.random.default_rng().permutation(len(dataset)))


PREPARE: Cases = [
    (preparing(lambda d: d.select(np.arange(len(d)).repeat(2))), "must add no image"),
    (preparing(lambda d: replace(d, images=d.images[::-1])), "must keep each pool_index with its image"),
    (preparing(lambda d: replace(d, labels=d.labels[::-1])), "must keep each label with its image"),
    (preparing(lambda d: replace(d, labels=d.labels[1:])), "as many labels and pool indices as images"),
    (preparing(lambda d: replace(d, images=d.images / 255)), "must keep images uint8"),
    (preparing(lambda d: d.images), "must return a TrainingSet"),
    (preparing(darkened), "must not change its argument in place"),
    (preparing(shuffled), "must return the same training set each time"),
]


def augmenting(augment: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    return defense(acts_on="batches", augment=lambda self, batch, generator: augment(batch))


AUGMENT: Cases = [
    (augmenting(lambda batch: batch[:, :, ::2]), "must keep shape and type of a batch"),
    (augmenting(lambda batch: 2 * batch), r"must keep pixels in \[-1, 1\]"),
    (augmenting(lambda batch: batch * np.random.default_rng().random(dtype=np.float32)), "with the same generator"),
    (augmenting(lambda batch: batch - batch[0] + batch[0]), "augment of an empty batch raised IndexError"),
]


class Forgetful(PlainStep):
    """Its state leaves the optimizer out."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class Idle(PlainStep):
    def update(self, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> float:
        return 0.0


class Astray(PlainStep):
    def draw(self, generator: torch.Generator) -> torch.Tensor:
        return torch.tensor([64])


class Opaque(PlainStep):
    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict(), "more": [object()]}


class Boastful(PlainStep):
    def guarantee(self) -> Guarantee:
        return Guarantee(-1.0, 1e-5, "none")


class Vague(PlainStep):
    def report(self) -> dict[str, float]:
        return {"epsilon": float("nan")}


def stepping(step: Any, **changes: Any) -> Any:
    def training(self: Any, setup: Any) -> Any:
        return replace(setup, make_step=step, **changes)

    return defense(acts_on="training", training=training)


TRAINING: Cases = [
    (defense(training=lambda self, setup: None), "must return a TrainingSetup"),
    (stepping(Idle), "must change the network's weights"),
    (stepping(Astray), "must return int64 indices into the training set"),
    (stepping(Opaque), "must hold tensors, numbers and texts only"),
    (stepping(Forgetful), "must go on from its state_dict as if it had never stopped"),
    (stepping(Boastful), "must have epsilon >= 0, 0 < delta < 1 and an accountant"),
    (stepping(Vague), "the report of defense 'bad' must be finite numbers by name"),
    (stepping(PlainStep, finish=lambda network: None), "finish of defense 'bad' must return the network"),
    (stepping(lambda setup: 1 / 0), "make_step raised ZeroDivisionError"),
]


def guarding(serve: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    def guard(self: Any, sampler: Any, serving: Any) -> Any:
        return lambda indices: serve(sampler(indices))

    return defense(acts_on="sampling", guard=guard)


GUARD: Cases = [
    (guarding(lambda images: 2 * images), r"must serve pixels in \[-1, 1\]"),
    (guarding(lambda images: (images - images.mean(0)) / 4), "must depend on i alone"),
    (guarding(lambda images: images.double()), "must return float32"),
    (guarding(lambda images: images[:1]), "must return float32 .* for n indices"),
]


@each_of([*STATEMENTS, *PREPARE, *AUGMENT, *TRAINING, *GUARD])
def test_a_bad_defense_is_caught(plugin: Any, says: str) -> None:
    refused(check_defense, says, plugin)


def test_a_defense_that_does_nothing_is_good() -> None:
    check_defense(defense())
