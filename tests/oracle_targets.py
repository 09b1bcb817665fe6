"""Targets and shadows on the closed-form models, small enough to attack in a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

from leakfront import models
from leakfront.attacks import Attack, Outside, PoolView, Shadow, Signals, Target
from leakfront.attacks.contract import signal_key
from leakfront.harness.stages.probe import ProbeSettings, measure_signals
from leakfront.harness.stages.sample import to_uint8
from leakfront.harness.training.loop import to_unit_range
from leakfront.models import DiffusionModel
from leakfront.models.sampling import SamplerSettings, make_sampler

POOL, SAMPLES = 120, 160
OUTSIDE = slice(1200, 1300)  # of the digits: neither in the pool nor seen by any model


def digits() -> np.ndarray:
    """Distinct real digits, uint8 [N, 1, 8, 8]."""
    images = np.round(load_digits().images * 255 / 16).astype(np.uint8)[:, None]
    return np.unique(images, axis=0)[np.random.default_rng(0).permutation(len(np.unique(images, axis=0)))]


def flat(images: np.ndarray) -> np.ndarray:
    """Pixels as features, float64 [N, d] in [0, 1]."""
    return images.reshape(len(images), -1) / 255


def pool_view(images: np.ndarray) -> PoolView:
    return PoolView(images, np.zeros(len(images), np.int64), flat(images), images, np.arange(len(images)))


def coins(seed: int, count: int = POOL) -> np.ndarray:
    return np.random.default_rng(seed).random(count) < 0.5


def fitted(name: str, images: np.ndarray) -> DiffusionModel:
    """The oracle `name` fitted on uint8 images."""
    model: DiffusionModel = models.registry.get(name)().build((1, 8, 8), 0, 0)
    model.fit(to_unit_range(images))
    return model


def sampled(model: DiffusionModel, count: int = SAMPLES, seed: int = 5) -> np.ndarray:
    return to_uint8(make_sampler(model, SamplerSettings(steps=20), seed)(range(count)))


def signals(attack: Attack, model: DiffusionModel, images: np.ndarray, batch_size: int = 50) -> Signals:
    """What the probe stage would store of an attack's signals."""
    return _measured(attack.signals(), model, images, batch_size)


def _measured(wanted: Sequence[Any], model: DiffusionModel, images: np.ndarray, batch_size: int) -> Signals:
    labels = torch.zeros(len(images), dtype=torch.long)
    settings = ProbeSettings(batch_size, gradient_batch=batch_size, seed=3)
    distinct = list(dict.fromkeys(wanted))
    arrays, _ = measure_signals(distinct, model, to_unit_range(images), labels, settings, lambda *_: None)
    return Signals(arrays)


def target(attack: Attack, model: DiffusionModel, images: np.ndarray, batch_size: int = 50) -> Target:
    samples = sampled(model)
    generated = {
        f"{signal_key(g)}/images": g.generate(model, samples, flat(samples), sampled, 7) for g in attack.generations()
    }
    away = digits()[OUTSIDE]
    return Target(
        pool_view(images), samples, np.zeros(len(samples), np.int64), signals(attack, model, images, batch_size),
        Signals(generated), Outside(away, _measured(attack.outside_signals(), model, away, batch_size)), seed=1,
    )  # fmt: skip


def only_samples(view: PoolView, samples: np.ndarray) -> Target:
    """A target of which nothing is known but what it generated."""
    nothing = Signals({})
    labels = np.zeros(len(samples), np.int64)
    return Target(view, samples, labels, nothing, nothing, Outside(view.images[:0], nothing), seed=0)


def shadow(attack: Attack, model: DiffusionModel, images: np.ndarray, members: np.ndarray) -> Shadow:
    seen = target(attack, model, images)
    return Shadow(**vars(seen), members=members)


def permuted(seen: Target, order: np.ndarray) -> Target:
    """The same target with the pool in another order."""
    pool = seen.pool
    view = pool_view(pool.images[order])
    arrays: Mapping[str, np.ndarray] = seen.signals._arrays  # type: ignore[attr-defined]
    return replace(seen, pool=view, signals=Signals({key: values[order] for key, values in arrays.items()}))


def permuted_shadow(known: Shadow, order: np.ndarray) -> Shadow:
    moved: Any = permuted(known, order)
    return replace(moved, members=known.members[order])


def nearest_pool_image(samples: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Index of the pool image nearest to each sample, by brute force."""
    difference = samples.reshape(len(samples), 1, -1).astype(float) - images.reshape(1, len(images), -1)
    return (difference**2).sum(2).argmin(1)


def shadows_of(attack: Attack, name: str, images: np.ndarray, seeds: Sequence[int]) -> list[Shadow]:
    """Shadow models of the oracle `name`, each fitted on the members of its own coins."""
    return [shadow(attack, fitted(name, images[coins(s)]), images, coins(s)) for s in seeds]
