"""Targets and shadow models on models known in closed form, small enough to attack in a second.

The pool is 120 digits of scikit-learn, 8 x 8 pixels. The memorizer, fitted on the members, gives each of them away; the
Gaussian, fitted on other digits, knows nothing of the pool. Features are the pixels.

Each digit has a caption that no other has, for attacks on text models. Given captions, the memorizer and the Gaussian
are text models: the memorizer returns a member to its caption; the Gaussian's mean follows the words of a caption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.attacks import Attack, GenerationContext, Outside, PoolView, Shadow, Signals, Target
from leakfront.attacks.contract import signal_key

if TYPE_CHECKING:
    import torch

    from leakfront.models import DiffusionModel

POOL, SAMPLES = 120, 160
OUTSIDE = slice(1200, 1300)  # of the digits: neither in the pool nor seen by any model


@cache
def _digits() -> np.ndarray:
    from sklearn.datasets import load_digits

    images = np.round(load_digits().images * 255 / 16).astype(np.uint8)[:, None]
    distinct: np.ndarray = np.unique(images, axis=0)
    return distinct[np.random.default_rng(0).permutation(len(distinct))]


def digits() -> np.ndarray:
    """Real digits in random order, all different, uint8 [N, 1, 8, 8]."""
    return _digits().copy()


def captions(rows: slice = slice(None, POOL)) -> tuple[str, ...]:
    """The captions of some of `digits()`, by default of the pool: all different, in words that many share."""
    from leakfront.datasets.captions.handwriting import FIRST, LAST

    def caption(number: int) -> str:
        page, writer = divmod(number, len(FIRST) * len(LAST))
        first, last = divmod(writer, len(LAST))
        return f"a handwritten digit by {FIRST[first]} {LAST[last]}, page {page + 1}"

    return tuple(caption(number) for number in range(len(_digits()))[rows])


def permuted(texts: Sequence[str]) -> tuple[str, ...]:
    """The same captions, each now of another image, blind to coins."""
    order = np.random.default_rng(6).permutation(len(texts))
    return tuple(texts[i] for i in order)


def flat(images: np.ndarray) -> np.ndarray:
    """Pixels as features, float64 [N, d] in [0, 1]."""
    return images.reshape(len(images), -1) / 255


def pool_view(images: np.ndarray, texts: Sequence[str] | None = None, conditions: np.ndarray | None = None) -> PoolView:
    """A pool without classes and planted copies; texts: its captions, if it has any, with their `conditions`."""
    labels, itself = np.zeros(len(images), np.int64), np.arange(len(images))
    given = labels if conditions is None else conditions
    known = None if texts is None else tuple(texts)
    return PoolView(images, labels, flat(images), images, itself, given, labels + 1, known)


def view_of(model: DiffusionModel, images: np.ndarray, texts: Sequence[str] | None = None) -> PoolView:
    """The pool that `pool_view` makes, with the conditions that a model takes."""
    import torch

    return pool_view(images, texts, model.conditions(torch.zeros(len(images), dtype=torch.long), texts).numpy())


def coins(seed: int, count: int = POOL) -> np.ndarray:
    """Fair coins, bool [count]; True for a member."""
    return np.random.default_rng(seed).random(count) < 0.5


def fitted(name: str, images: np.ndarray, texts: Sequence[str] | None = None) -> DiffusionModel:
    """The closed-form model `name` ("memorizer", "gaussian"), fitted on uint8 images [N, 1, 8, 8].

    texts: their captions, for a text model. As what it was fine-tuned from it has the Gaussian of some digits outside
    the pool. As the discriminator of a generator it has one that knows the images it was fitted on.
    """
    model: Any = _fitted(name, images, texts)
    model.base = _base(texts is not None)
    model.discriminate = partial(_knowing, flat(images))
    fitted_model: DiffusionModel = model
    return fitted_model


def _knowing(known: np.ndarray, images: torch.Tensor) -> dict[str, torch.Tensor]:
    """Logits [n] of images float32 [n, 1, 8, 8] in [-1, 1]: the nearer the nearest known image, the higher."""
    import torch

    values = torch.as_tensor(2 * known - 1, dtype=torch.float64)
    exact = "donot_use_mm_for_euclid_dist"  # a matrix product leaves a rounding error where the distance is 0
    logits = -torch.cdist(images.flatten(1).double(), values, compute_mode=exact).min(dim=1).values
    return {"latest": logits, "averaged": 0.9 * logits}


@cache
def _base(captioned: bool) -> DiffusionModel:
    away = slice(OUTSIDE.stop, None)
    return _fitted("gaussian", digits()[away], captions(away) if captioned else None)


def _fitted(name: str, images: np.ndarray, texts: Sequence[str] | None) -> DiffusionModel:
    import torch

    from leakfront import models
    from leakfront.testing.captioned_gaussian import CaptionedGaussian

    unit = torch.as_tensor(images).float() / 127.5 - 1
    if texts is not None and name == "gaussian":
        return CaptionedGaussian(unit)
    family = models.registry.get(name if texts is None else f"captioned_{name}")
    model: Any = family().build((1, 8, 8), 0, 0, captions(slice(None)) if texts else ())
    labels = torch.zeros(len(unit), dtype=torch.long)
    model.fit(unit, *([] if texts is None else [model.conditions(labels, texts)]))
    fitted_model: DiffusionModel = model
    return fitted_model


def sampled(model: DiffusionModel, count: int = SAMPLES, seed: int = 5) -> np.ndarray:
    """Samples of a model, uint8 [count, 1, 8, 8]; of a text model by the captions outside the pool in turn."""
    import torch

    from leakfront.harness.stages.sample import to_uint8
    from leakfront.models.sampling import SamplerSettings, Table, make_sampler

    away = captions(OUTSIDE)
    asked = Table(model.conditions(torch.zeros(len(away), dtype=torch.long), away)) if model.words else None
    return to_uint8(make_sampler(model, SamplerSettings(steps=20), seed, conditions=asked)(range(count)))


def context(
    model: DiffusionModel, view: PoolView, samples: np.ndarray, signals: Mapping[Any, Any] | None = None
) -> GenerationContext:
    """What a generation on `model` works with, which has generated `samples`, uint8 [N, 1, 8, 8], before.

    signals: what was measured on the pool, if the attack asks for it.
    """
    import torch

    from leakfront.harness.stages.sample import to_uint8
    from leakfront.models.sampling import Numbered, SamplerSettings, make_sampler

    def sample(
        conditions: Any, seeds: Sequence[int], *, steps: int | None = None, guidance: float | None = None
    ) -> np.ndarray:
        settings = SamplerSettings(steps=steps or 20, guidance=1.0 if guidance is None else guidance)
        asked = Numbered(torch.as_tensor(conditions), seeds)
        return to_uint8(make_sampler(model, settings, 6, conditions=asked)(seeds))

    return GenerationContext(
        model, view, samples, flat(samples), 7, sampled, sample, lambda name, make: make(), signals or {}
    )


def measured(
    signals: Sequence[Any], model: DiffusionModel, images: np.ndarray, batch_size: int = 50,
    texts: Sequence[str] | None = None,
) -> Signals:  # fmt: skip
    """What the probe stage stores of some signals on uint8 images [N, C, H, W] with N captions, if they have any."""
    import torch

    from leakfront.harness.stages.probe import ProbeSettings, measure_signals

    condition = model.conditions(torch.zeros(len(images), dtype=torch.long), texts)
    settings = ProbeSettings(batch_size, gradient_batch=batch_size, seed=3)
    distinct = list(dict.fromkeys(signals))
    unit = torch.as_tensor(images).float() / 127.5 - 1
    arrays, _ = measure_signals(distinct, model, unit, condition, settings, lambda *_: None, texts)
    return Signals(arrays)


def target(
    attack: Attack, model: DiffusionModel, images: np.ndarray, batch_size: int = 50,
    texts: Sequence[str] | None = None,
) -> Target:  # fmt: skip
    """What `attack` sees of `model` in front of a pool of uint8 images [P, 1, 8, 8], measured in batches.

    texts: the captions of the pool, for a text model.
    """
    samples, away, view = sampled(model), digits()[OUTSIDE], view_of(model, images, texts)
    signals = measured(attack.signals(), model, images, batch_size, texts)
    generated: dict[str, np.ndarray] = {}
    for generation in attack.generations():
        found, key = generation.generate(context(model, view, samples, signals)), signal_key(generation)
        generated |= {f"{key}/images": found.images, f"{key}/prompt": found.prompt}
    of_away = None if texts is None else captions(OUTSIDE)
    outside = Outside(away, measured(attack.outside_signals(), model, away, batch_size, of_away))
    asked = np.arange(len(samples)) % (len(away) if model.words else 1)
    return Target(view, samples, asked, signals, Signals(generated), outside, seed=1, extract=flat)


def only_samples(view: PoolView, samples: np.ndarray) -> Target:
    """A target about which nothing is known but its samples."""
    nothing = Signals({})
    labels = np.zeros(len(samples), np.int64)
    return Target(view, samples, labels, nothing, nothing, Outside(view.images[:0], nothing), seed=0, extract=flat)


def shadow(
    attack: Attack, model: DiffusionModel, images: np.ndarray, members: np.ndarray, texts: Sequence[str] | None = None
) -> Shadow:
    """The same view of a model as `target`, with its coins, bool [P]."""
    return Shadow(**vars(target(attack, model, images, texts=texts)), members=members)


def shadows_of(
    attack: Attack, name: str, images: np.ndarray, seeds: Sequence[int], texts: Sequence[str] | None = None
) -> list[Shadow]:
    """Shadow models of the closed form `name`, each fitted on the members of the coins with that seed."""
    return [shadow(attack, fitted(name, *chosen(images, texts, coins(s))), images, coins(s), texts) for s in seeds]


def chosen(
    images: np.ndarray, texts: Sequence[str] | None, mask: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """The images of a pool where a mask, bool [P], is true, and their captions."""
    return images[mask], None if texts is None else tuple(texts[i] for i in np.flatnonzero(mask).tolist())


def permuted_shadow(known: Shadow, order: np.ndarray) -> Shadow:
    """The same shadow model with the pool in another order."""
    arrays: Mapping[str, np.ndarray] = known.signals._arrays  # type: ignore[attr-defined]
    moved = Signals({key: values[order] for key, values in arrays.items()})
    texts = known.pool.captions and [known.pool.captions[i] for i in order]
    return replace(
        known,
        pool=pool_view(known.pool.images[order], texts, known.pool.conditions[order]),
        signals=moved,
        members=known.members[order],
    )


def nearest_pool_image(samples: np.ndarray, images: np.ndarray) -> np.ndarray:
    """The index of the pool image nearest to each sample [G], by brute force."""
    difference = samples.reshape(len(samples), 1, -1).astype(float) - images.reshape(1, len(images), -1)
    nearest: np.ndarray = (difference**2).sum(2).argmin(1)
    return nearest
