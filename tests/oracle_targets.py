"""Targets and shadows on the closed-form models, small enough to attack in a second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

import models
from attacks import Attack, PoolView, Shadow, Signals, Target
from leakfront.stages.probe import measure_signals
from leakfront.stages.sample import to_uint8
from leakfront.training import to_unit_range
from models import DiffusionModel
from models.sampling import SamplerSettings, make_sampler

POOL, SAMPLES = 120, 160


def digits() -> np.ndarray:
    """Distinct real digits, uint8 [N, 1, 8, 8]."""
    images = np.round(load_digits().images * 255 / 16).astype(np.uint8)[:, None]
    return np.unique(images, axis=0)[np.random.default_rng(0).permutation(len(np.unique(images, axis=0)))]


def pool_view(images: np.ndarray) -> PoolView:
    return PoolView(images, np.zeros(len(images), np.int64), images, np.arange(len(images)))


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
    distinct = list(dict.fromkeys(attack.signals()))
    plan: Any = SimpleNamespace(
        signals=distinct,
        attacks={},
        config=SimpleNamespace(probe=SimpleNamespace(batch_size=batch_size), seed=3),
    )
    labels = torch.zeros(len(images), dtype=torch.long)
    arrays, _ = measure_signals(plan, model, to_unit_range(images), labels, lambda *_: None)
    return Signals(arrays)


def target(attack: Attack, model: DiffusionModel, images: np.ndarray, batch_size: int = 50) -> Target:
    return Target(pool_view(images), sampled(model), signals(attack, model, images, batch_size), seed=1)


def shadow(attack: Attack, model: DiffusionModel, images: np.ndarray, members: np.ndarray) -> Shadow:
    seen = target(attack, model, images)
    return Shadow(seen.pool, seen.samples, seen.signals, seen.seed, members)


def permuted(seen: Target, order: np.ndarray) -> Target:
    """The same target with the pool in another order."""
    pool = seen.pool
    view = pool_view(pool.images[order])
    arrays: Mapping[str, np.ndarray] = seen.signals._arrays  # type: ignore[attr-defined]
    return replace(seen, pool=view, signals=Signals({key: values[order] for key, values in arrays.items()}))


def permuted_shadow(known: Shadow, order: np.ndarray) -> Shadow:
    moved = permuted(known, order)
    return Shadow(moved.pool, moved.samples, moved.signals, moved.seed, known.members[order])


def nearest_pool_image(samples: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Index of the pool image nearest to each sample, by brute force."""
    difference = samples.reshape(len(samples), 1, -1).astype(float) - images.reshape(1, len(images), -1)
    return (difference**2).sum(2).argmin(1)


def shadows_of(attack: Attack, name: str, images: np.ndarray, seeds: Sequence[int]) -> list[Shadow]:
    """Shadow models of the oracle `name`, each fitted on the members of its own coins."""
    return [shadow(attack, fitted(name, images[coins(s)]), images, coins(s)) for s in seeds]
