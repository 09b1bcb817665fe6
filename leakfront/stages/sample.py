"""Generated images of a cell; generated once, used by extraction and by every utility metric."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from defenses import Defense
from leakfront.layout import Layout
from leakfront.plan import CellPlan, Plan
from leakfront.seeds import derive_seed
from leakfront.store import stored_key, writing
from leakfront.training import Progress
from models import DiffusionModel
from models.sampling import SamplerSettings, make_sampler


def to_uint8(images: torch.Tensor) -> np.ndarray:
    """float32 [N, C, H, W] in [-1, 1] -> uint8."""
    scaled = (images.clamp(-1, 1) + 1) * 127.5
    return scaled.round().to(torch.uint8).cpu().numpy()


def sample_cell(plan: Plan, cell: CellPlan, layout: Layout, progress: Progress) -> None:
    """Draw the config's number of images; the same seeds for every defense of a split."""
    folder, key = layout.stage(cell.name, "sample"), cell.keys["sample"]
    if stored_key(folder) == key:
        return
    model = load_model(plan, cell, layout)
    start = time.monotonic()
    images = draw_samples(plan, model, cell.split, cell.point.stack, progress)
    with writing(folder, key) as place:
        labels = np.arange(len(images)) % max(model.classes, 1)
        save_file({"images": images, "labels": labels}, place / "samples.safetensors")
        facts = {"seconds": time.monotonic() - start, "model_calls_per_image": plan.config.sampling.steps}
        (place / "sample.json").write_text(json.dumps(facts, indent=1))


def draw_samples(
    plan: Plan,
    model: DiffusionModel,
    split: int,
    guards: Sequence[Defense] = (),
    progress: Progress = lambda *_: None,
) -> np.ndarray:
    """The config's number of images from a model, by the config's sampler, behind the defenses that guard it."""
    settings, seed = plan.config.sampling, derive_seed(plan.config.seed, "sampling", split)
    solver = SamplerSettings(settings.scheduler, settings.steps, settings.eta)
    sampler = make_sampler(model, solver, seed, plan.config.execution.device)
    for defense in guards:
        sampler = defense.guard(sampler)
    batches = []
    for first in range(0, settings.images, settings.batch_size):
        indices = range(first, min(first + settings.batch_size, settings.images))
        batches.append(to_uint8(sampler(indices)))
        progress(indices.stop, settings.images, {})
    return np.concatenate(batches)


def load_sample_labels(cell: CellPlan, layout: Layout) -> np.ndarray:
    """The class that each sample was asked for, int64 [N_G]; 0 for an unconditional model."""
    return load_file(layout.stage(cell.name, "sample") / "samples.safetensors")["labels"]


def load_samples(cell: CellPlan, layout: Layout) -> np.ndarray:
    """uint8 [N_G, C, H, W]."""
    return load_file(layout.stage(cell.name, "sample") / "samples.safetensors")["images"]


def load_model(plan: Plan, cell: CellPlan, layout: Layout) -> DiffusionModel:
    """The cell's trained model, on the config's device."""
    model: DiffusionModel = plan.model.load(layout.stage(cell.name, "train") / "model")
    if model.network is not None:
        model.network.to(plan.config.execution.device).eval().requires_grad_(False)
    return model
