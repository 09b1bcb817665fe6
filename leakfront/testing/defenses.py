"""The contract of a defense, checked on digits and a network of a few thousand weights."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.defenses import Defense, Prompts, Serving, TrainingSet
from leakfront.models.contract import Words
from leakfront.testing import oracles
from leakfront.testing.plugin import calling, check_line, check_plugin, docstring, named, require, same_arrays
from leakfront.testing.training import BATCH, SIZE, check_training, training_set

if TYPE_CHECKING:
    import torch

ACTS_ON = ("nothing", "data", "batches", "training", "sampling")


def check_defense(defense: type[Defense] | Defense) -> None:
    """Raise `AssertionError` unless a defense keeps to the contract of `leakfront.defenses.Defense`.

    defense: a class, or an instance whose parameters suit 64 training images in batches of 8.

    It checks that the defense states what it is (a frozen dataclass with defaults, a one-line summary, a docstring,
    `acts_on` and `covers`), and then each hook. `prepare` must add no image and keep `pool_index`, labels and captions
    with their images. `augment` must keep shape and range, and follow the generator; `recondition` must keep conditions
    in their form, and follow the generator too. `training` must return a set-up whose step
    trains, and goes on from its saved state as if it had never stopped. `guard` must return a sampler whose sample i
    depends on i alone.
    """
    defense = check_plugin(defense, Defense, "defense")
    who = named(defense, "defense")
    _check_statements(defense, who)
    _check_prepare(defense, who)
    _check_augment(defense, who)
    _check_recondition(defense, who)
    check_training(defense, who)
    if defense.acts_on == "sampling":
        _check_guard(defense, who)


def _check_statements(defense: Defense, who: str) -> None:
    cls = type(defense)
    check_line(cls.summary, f"the summary of {who}")
    check_line(cls.covers, f"the covers of {who}")
    require(len(docstring(cls)) > 60, f"the docstring of {who} must say what it does, what it costs and its source")
    require(cls.acts_on in ACTS_ON, f"the acts_on of {who} is {cls.acts_on!r}; it must be one of {ACTS_ON}")
    guards = cls.guard is not Defense.guard
    called = "guard is called only if acts_on is 'sampling'"
    require(guards == (cls.acts_on == "sampling"), f"{who} has acts_on = {cls.acts_on!r}; {called}")
    with calling(f"{who}: check for {SIZE} images in batches of {BATCH}"):
        defense.check(float(SIZE), BATCH)
    cost = defense.relative_cost(1000, SIZE)
    require(0 < cost < math.inf, f"the relative_cost of {who} is {cost}; it must be above 0 and finite")
    check_line(defense.unit("training image"), f"the unit of {who}")


def _check_prepare(defense: Defense, who: str) -> None:
    images, index = oracles.digits()[:50], np.concatenate([np.arange(50), np.arange(5)])
    before = training_set(images[index], index)
    kept = [array.copy() for array in (before.images, before.labels, before.pool_index)]
    with calling(f"{who}: prepare"):
        after, again = defense.prepare(before), defense.prepare(before)
    unchanged = all(map(same_arrays, kept, (before.images, before.labels, before.pool_index)))
    require(unchanged, f"prepare of {who} must not change its argument in place")
    require(isinstance(after, TrainingSet), f"prepare of {who} must return a TrainingSet")
    counts = len(after.images) == len(after.labels) == len(after.pool_index)
    require(counts, f"prepare of {who} must return as many labels and pool indices as images")
    shape = after.images.dtype == np.uint8 and after.images.shape[1:] == images.shape[1:]
    require(shape, f"prepare of {who} must keep images uint8 of the same size")
    has, had = Counter(after.pool_index.tolist()), Counter(index.tolist())
    require(has <= had, f"prepare of {who} must add no image: it has more images of a pool image than before")
    require((after.labels == after.pool_index % 10).all(), f"prepare of {who} must keep each label with its image")
    told = training_set(after.images, after.pool_index).captions
    require(after.captions == told, f"prepare of {who} must keep each caption with its image")
    shown = {image.tobytes(): i for i, image in enumerate(images)}
    origins = [shown.get(image.tobytes(), i) for image, i in zip(after.images, after.pool_index, strict=True)]
    require(origins == after.pool_index.tolist(), f"prepare of {who} must keep each pool_index with its image")
    equal = same_arrays(after.images, again.images) and same_arrays(after.pool_index, again.pool_index)
    require(equal, f"prepare of {who} must return the same training set each time")


def _check_augment(defense: Defense, who: str) -> None:
    import torch

    batch = torch.as_tensor(oracles.digits()[:16]).float() / 127.5 - 1

    def once(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)  # torchvision draws from the global generator, which training seeds at each step
        with calling(f"{who}: augment"):
            return defense.augment(batch.clone(), torch.Generator().manual_seed(seed))

    found = once(0)
    same = isinstance(found, torch.Tensor) and found.shape == batch.shape and found.dtype == torch.float32
    require(same, f"augment of {who} must keep shape and type of a batch")
    require(found.isfinite().all() and found.abs().max() <= 1 + 1e-6, f"augment of {who} must keep pixels in [-1, 1]")
    require(torch.equal(found, once(0)), f"augment of {who} must give the same batch with the same generator")
    with calling(f"{who}: augment of an empty batch"):
        empty = defense.augment(batch[:0], torch.Generator())
    require(empty.shape == batch[:0].shape, f"augment of {who} must keep an empty batch empty")


def _check_recondition(defense: Defense, who: str) -> None:
    """On classes, unless the defense needs captions, and on captions of 0 to 6 of 8 tokens, which fills some."""
    import torch

    words = Words(20, 21, torch.arange(5, 20))
    captions = torch.full((14, 10), words.end)
    captions[:, 0] = words.begin
    for row, length in zip(captions, [*range(7), *range(7)], strict=True):
        row[1 : 1 + length] = torch.arange(length) + 5
    classes = [] if defense.needs_captions else [(torch.arange(16) % 10, None)]
    for given, spelled in [*classes, (captions, words)]:

        def once(seed: int, given: torch.Tensor = given, spelled: Words | None = spelled) -> torch.Tensor:
            before = given.clone()
            with calling(f"{who}: recondition"):
                found = defense.recondition(before, spelled, torch.Generator().manual_seed(seed))
            require(torch.equal(before, given), f"recondition of {who} must not change its argument in place")
            return found

        found = once(0)
        same = isinstance(found, torch.Tensor) and found.shape == given.shape and found.dtype == torch.int64
        require(same, f"recondition of {who} must keep shape and type of the conditions")
        require(torch.equal(found, once(0)), f"recondition of {who} must give the same with the same generator")
        if spelled:
            after_end = (found == words.end).cummax(dim=1).values == (found == words.end)
            kept = (found[:, 0] == words.begin).all() and (found[:, -1] == words.end).all() and after_end.all()
            require(kept, f"recondition of {who} must keep a caption's begin, its end, and the end up to its length")


def _check_guard(defense: Defense, who: str) -> None:
    import torch

    members = oracles.digits()[:40]
    model, serving = _served(defense, members)
    with calling(f"{who}: guard"):
        sampler = defense.guard(serving.make_sampler(model), serving)
    with calling(f"{who}: its guarded sampler"):
        together = sampler(range(6))
        apart = torch.cat([sampler([5]), sampler(range(2, 5)), sampler([1, 0])])
    shape = together.shape == (6, 1, 8, 8) and together.dtype == torch.float32
    require(shape, f"the sampler of {who} must return float32 [n, C, H, W] for n indices")
    require(together.isfinite().all() and together.abs().max() <= 1 + 1e-6, f"{who} must serve pixels in [-1, 1]")
    alone = torch.allclose(apart, together[[5, 2, 3, 4, 1, 0]], rtol=1e-4, atol=1e-4)
    require(alone, f"sample i of {who} must depend on i alone, not on its batch or on earlier draws")


def _served(defense: Defense, members: np.ndarray) -> tuple[Any, Serving]:
    """A model, and what a guard of it gets: a memorizer, or a small text model if the defense needs captions."""
    import torch

    from leakfront.models.sampling import (
        SamplerSettings,
        Table,
        classes_in_turn,
        first_timestep,
        make_sampler,
        start_noise,
    )

    settings, seed = SamplerSettings(steps=5), 1

    def sampler_of(served: Any, conditions: Any = None, start: Any = None) -> Any:
        return make_sampler(served, settings, seed, conditions=conditions or asked, start=start)

    if not defense.needs_captions:
        model: Any = oracles.fitted("memorizer", members)
        asked = classes_in_turn(model)
        return model, Serving(model, members, sampler_of)
    from leakfront import models

    family = models.registry.get("text_to_image")(channels=(8, 8), norm_groups=4, text_width=8, text_heads=2)
    captions = training_set(members, np.arange(len(members))).captions or ()
    model = family.build((1, 8, 8), 0, 0, captions)
    model.network.eval().requires_grad_(False)
    asked = Table(model.conditions(torch.zeros(len(captions), dtype=torch.long), captions))

    def start(indices: Any) -> torch.Tensor:
        return torch.stack([start_noise(seed, i, model.latent_shape)[0] for i in indices])

    prompts = Prompts(model, asked, asked.rows[:20], start, first_timestep(model, settings), seed)
    return model, Serving(model, members, sampler_of, len(asked.rows), prompts)
