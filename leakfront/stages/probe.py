"""Every query that the attacks make of a cell's model, made once and stored."""

from __future__ import annotations

import json
import time

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from attacks import Signals
from attacks.contract import signal_key
from attacks.queries import Queries
from leakfront.layout import Layout
from leakfront.plan import CellPlan, Plan
from leakfront.pool import Pool
from leakfront.stages.sample import load_model
from leakfront.store import stored_key, writing
from leakfront.training import Progress, to_unit_range
from models import DiffusionModel


def probe_cell(plan: Plan, cell: CellPlan, layout: Layout, pool: Pool, progress: Progress) -> None:
    """Measure the distinct signals of all attacks on every pool image."""
    folder, key = layout.stage(cell.name, "probe"), cell.keys["probe"]
    if stored_key(folder) == key:
        return
    model, device = load_model(plan, cell, layout), plan.config.execution.device
    start = time.monotonic()
    images, labels = to_unit_range(pool.images).to(device), torch.as_tensor(pool.labels).to(device)
    arrays, calls = measure_signals(plan, model, images, labels, progress)
    with writing(folder, key) as place:
        save_file(arrays, place / "signals.safetensors")
        facts = {"seconds": time.monotonic() - start, **calls}
        (place / "probe.json").write_text(json.dumps(facts, indent=1))


@torch.no_grad()
def measure_signals(
    plan: Plan, model: DiffusionModel, images: torch.Tensor, labels: torch.Tensor, progress: Progress
) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Signals of float32 images [P, C, H, W] by "<signal key>/<name>", and model calls per image, together and alone.

    The noise of the queries is the same for all cells of a run, so that signals of shadow models compare.
    """
    parts: dict[str, list[np.ndarray]] = {}
    batch, together = plan.config.probe.batch_size, 0
    for first in range(0, len(images), batch):
        rows = slice(first, first + batch)
        queries = Queries(model, images[rows], labels[rows], plan.config.seed)
        for signal in plan.signals:
            for name, values in signal.measure(queries).items():
                parts.setdefault(f"{signal_key(signal)}/{name}", []).append(values.cpu().numpy())
        together = queries.calls
        progress(min(first + batch, len(images)), len(images), {})
    alone = {}
    for name, attack in plan.attacks.items():
        queries = Queries(model, images[:1], labels[:1], plan.config.seed)
        for signal in attack.signals():
            signal.measure(queries)
        alone[name] = queries.calls
    arrays = {key: np.ascontiguousarray(np.concatenate(values)) for key, values in parts.items()}
    return arrays, {"model_calls_per_image": together, "model_calls_per_image_alone": alone}


def load_signals(cell: CellPlan, layout: Layout) -> Signals:
    """The stored signals of a cell."""
    return Signals(load_file(layout.stage(cell.name, "probe") / "signals.safetensors"))
