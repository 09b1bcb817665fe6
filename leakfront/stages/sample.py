"""Generated images of a cell; generated once, used by extraction and by every utility metric."""

from __future__ import annotations

import json
import time

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

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
    settings, device = plan.config.sampling, plan.config.execution.device
    model = load_model(plan, cell, layout)
    seed = derive_seed(plan.config.seed, "sampling", cell.split)
    solver = SamplerSettings(settings.scheduler, settings.steps, settings.eta)
    sampler = make_sampler(model, solver, seed, device)
    for defense in cell.point.stack:
        sampler = defense.guard(sampler)
    start = time.monotonic()
    batches = []
    for first in range(0, settings.images, settings.batch_size):
        indices = range(first, min(first + settings.batch_size, settings.images))
        batches.append(to_uint8(sampler(indices)))
        progress(indices.stop, settings.images, {})
    with writing(folder, key) as place:
        save_file({"images": np.concatenate(batches)}, place / "samples.safetensors")
        facts = {"seconds": time.monotonic() - start, "model_calls_per_image": settings.steps}
        (place / "sample.json").write_text(json.dumps(facts, indent=1))


def load_samples(cell: CellPlan, layout: Layout) -> np.ndarray:
    """uint8 [N_G, C, H, W]."""
    return load_file(layout.stage(cell.name, "sample") / "samples.safetensors")["images"]


def load_model(plan: Plan, cell: CellPlan, layout: Layout) -> DiffusionModel:
    """The cell's trained model, on the config's device."""
    model: DiffusionModel = plan.model.load(layout.stage(cell.name, "train") / "model")
    if model.network is not None:
        model.network.to(plan.config.execution.device).eval().requires_grad_(False)
    return model
