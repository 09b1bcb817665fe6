"""Training of a cell's model."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np

from leakfront.defenses import TrainingSet
from leakfront.defenses.training.ranks import ALONE, Ranks
from leakfront.errors import DivergedError
from leakfront.harness.machine.clock import Stopwatch
from leakfront.harness.machine.memory import PeakMemory
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.prepare import load_prepared
from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.layout import Layout
from leakfront.harness.training.checkpoint import remove_checkpoint
from leakfront.harness.training.loop import Checkpoints, Progress, Trained, to_unit_range, train
from leakfront.models import DiffusionModel
from leakfront.seeds import derive_seed


def _public(pool: Pool) -> TrainingSet:
    """Images outside the pool and outside the reference, which are nobody's secret."""
    index = np.full(len(pool.extractor_images), -1, np.int64)
    return TrainingSet(pool.extractor_images, pool.extractor_labels, index)


def train_cell(
    plan: Plan, cell: CellPlan, layout: Layout, pool: Pool, progress: Progress, ranks: Ranks = ALONE
) -> bool:
    """Train the cell's model, from its checkpoint if there is one. False if it diverged, now or earlier.

    All defenses of a split start from the same weights and draw the same batches as far as they draw alike, so that
    they can be compared in pairs. Of several ranks the first writes what comes of it.
    """
    folder, key = layout.stage(cell.name, "train"), cell.keys["train"]
    if stored_key(folder) != key:
        config = plan.config
        dataset, expected_size = load_prepared(cell, layout)
        seed = derive_seed(config.seed, "training", cell.split)
        shape = pool.images.shape[1:]
        model: DiffusionModel = plan.model.build(tuple(shape), len(pool.classes), seed)
        checkpoint = layout.stage(cell.name, "train.checkpoint")
        facts: dict[str, object]
        with PeakMemory(config.execution.device) as memory:
            try:
                if plan.model.trained:
                    checkpoints = Checkpoints(checkpoint, key, config.training.checkpoint_seconds)
                    trained = train(
                        model, dataset, _public(pool), expected_size, cell.point.stack, config.training, seed,
                        ranks.device(config.execution.device), checkpoints, progress, ranks,
                    )  # fmt: skip
                else:
                    watch = Stopwatch(config.execution.device)
                    model.fit(to_unit_range(dataset.images))
                    trained = Trained(0, watch.seconds, 0, [], {}, None)
                facts = {**asdict(trained), "diverged": None}
            except DivergedError as error:
                facts = {"diverged": error.step}
        if ranks.rank > 0:
            return facts["diverged"] is None
        facts |= {"peak_memory_mib": memory.mib, "training_images": len(dataset), "expected_size": expected_size}
        with writing(folder, key) as place:
            if facts["diverged"] is None:
                model.save(place / "model")
            (place / "train.json").write_text(json.dumps(facts, indent=1))
        remove_checkpoint(checkpoint)
    return json.loads((folder / "train.json").read_text())["diverged"] is None
