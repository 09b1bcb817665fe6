"""Generated images of a cell; generated once, used by extraction and by every utility metric."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from leakfront.defenses import Defense, Sampler, Serving
from leakfront.harness.machine.clock import Stopwatch
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.stages.prepare import load_prepared
from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.layout import Layout
from leakfront.harness.training.loop import Progress
from leakfront.models import DiffusionModel
from leakfront.models.sampling import SamplerSettings, make_sampler
from leakfront.seeds import derive_seed


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """float32 [N, C, H, W] in [-1, 1] -> uint8."""
    scaled = (images.clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).cpu().numpy()


def sample_cell(plan: Plan, cell: CellPlan, layout: Layout, progress: Progress) -> None:
    """Draw the config's number of images; the same seeds for every defense of a split.

    Behind defenses that guard the sampler they are drawn twice: as served ("images"), and as whoever holds the weights
    draws them ("unguarded").
    """
    folder, key = layout.stage(cell.name, "sample"), cell.keys["sample"]
    if stored_key(folder) == key:
        return
    model: Any = CountedModel(load_model(plan, cell, layout))
    guards = [defense for defense in cell.point.stack if defense.acts_on == "sampling"]
    watch = Stopwatch(plan.config.execution.device)
    arrays = {"images": draw_samples(plan, model, cell.split, progress=progress)}
    if guards:
        arrays["unguarded"], watch, model.calls = arrays["images"], Stopwatch(plan.config.execution.device), 0
        images = load_prepared(cell, layout)[0].images
        arrays["images"] = draw_samples(plan, model, cell.split, guards, images, progress)
    arrays["labels"] = np.arange(len(arrays["images"])) % max(model.classes, 1)
    with writing(folder, key) as place:
        save_file(arrays, place / "samples.safetensors")
        facts = {"seconds": watch.seconds, "model_calls_per_image": model.calls / len(arrays["images"])}
        (place / "sample.json").write_text(json.dumps(facts, indent=1))


class CountedModel:
    """A model that counts the images which pass through it."""

    def __init__(self, model: DiffusionModel) -> None:
        self._model = model
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        self.calls += len(x_t)
        return self._model.predict_noise(x_t, t, labels)


def draw_samples(
    plan: Plan,
    model: DiffusionModel,
    split: int,
    guards: Sequence[Defense] = (),
    training_images: np.ndarray | None = None,
    progress: Progress = lambda *_: None,
) -> np.ndarray:
    """The config's number of images from a model, uint8 [G, C, H, W], by the config's sampler.

    guards: defenses that stand before the model, and know the training images.
    """
    settings, seed = plan.config.sampling, derive_seed(plan.config.seed, "sampling", split)
    solver = SamplerSettings(settings.scheduler, settings.steps, settings.eta)

    def sampler_of(served: DiffusionModel) -> Sampler:
        return make_sampler(served, solver, seed, plan.config.execution.device)

    sampler = sampler_of(model)
    for defense in guards:
        assert training_images is not None
        sampler = defense.guard(sampler, Serving(model, training_images, sampler_of))
    batches = []
    for first in range(0, settings.images, settings.batch_size):
        indices = range(first, min(first + settings.batch_size, settings.images))
        batches.append(to_uint8(sampler(indices)))
        progress(indices.stop, settings.images, {})
    return np.concatenate(batches)


def load_sample_labels(cell: CellPlan, layout: Layout) -> np.ndarray:
    """The class that each sample was asked for, int64 [N_G]; 0 for an unconditional model."""
    return _load(cell, layout)["labels"]


def load_samples(cell: CellPlan, layout: Layout) -> np.ndarray:
    """uint8 [N_G, C, H, W], as the model is served."""
    return _load(cell, layout)["images"]


def load_unguarded_samples(cell: CellPlan, layout: Layout) -> np.ndarray | None:
    """uint8 [N_G, C, H, W], past the defenses that guard the sampler; None if there are none."""
    return _load(cell, layout).get("unguarded")


def _load(cell: CellPlan, layout: Layout) -> dict[str, np.ndarray]:
    return load_file(layout.stage(cell.name, "sample") / "samples.safetensors")


def load_model(plan: Plan, cell: CellPlan, layout: Layout) -> DiffusionModel:
    """The cell's trained model, on the config's device."""
    model: DiffusionModel = plan.model.load(layout.stage(cell.name, "train") / "model")
    if model.network is not None:
        model.network.to(plan.config.execution.device).eval().requires_grad_(False)
    return model
