"""What a cell's probe stage has stored: signals on the pool and on images outside it, and generated images."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from safetensors import safe_open

from leakfront.attacks import Outside, Signals
from leakfront.defenses import TrainingSet
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.store.layout import Layout

SIGNALS, OUTSIDE = "signals.safetensors", "outside.safetensors"
GENERATED, PAST_GUARDS = "generated.safetensors", "generated_with_weights.safetensors"


def images_outside(plan: Plan, pool: Pool) -> TrainingSet:
    """The images outside the pool that attacks may query; no model trained on them."""
    images = pool.reference_images[: plan.config.probe.outside]
    count, captions = len(images), pool.reference_captions
    return TrainingSet(
        images, pool.reference_labels[:count], np.full(count, -1), captions=captions and captions[:count]
    )


class StoredArrays(Mapping[str, np.ndarray]):
    """The arrays of a safetensors file by name, each read on access."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with safe_open(path, framework="numpy") as file:
            self._names = tuple(file.keys())

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        with safe_open(self._path, framework="numpy") as file:
            array: np.ndarray = file.get_tensor(name)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def load_signals(cell: CellPlan, layout: Layout) -> Signals:
    """The stored signals of a cell."""
    return Signals(StoredArrays(layout.stage(cell.name, "probe") / SIGNALS))


def load_generated(cell: CellPlan, layout: Layout) -> Signals:
    """The stored generations of a cell, as served."""
    return Signals(StoredArrays(layout.stage(cell.name, "probe") / GENERATED))


def load_generated_with_weights(cell: CellPlan, layout: Layout) -> Signals:
    """The stored generations of a cell, those that are `served` without the defenses that guard the sampler."""
    folder = layout.stage(cell.name, "probe")
    return Signals(
        ChainMap(*(dict(StoredArrays(folder / name)) for name in (PAST_GUARDS, GENERATED) if (folder / name).exists()))
    )


def load_conditions(cell: CellPlan, layout: Layout) -> np.ndarray:
    """The conditions of the pool's images, int64 [P, ...], as the cell's model takes them."""
    return StoredArrays(layout.stage(cell.name, "probe") / "conditions.safetensors")["conditions"]


def load_decoded(cell: CellPlan, layout: Layout) -> np.ndarray | None:
    """What the autoencoder of a latent model makes of the pool's images, uint8 [P, C, H, W]; None in pixel space."""
    path = layout.stage(cell.name, "probe") / "decoded.safetensors"
    return StoredArrays(path)["images"] if path.exists() else None


def load_outside(plan: Plan, cell: CellPlan, layout: Layout, pool: Pool) -> Outside:
    """Images outside the pool, with a cell's stored signals on them."""
    arrays = StoredArrays(layout.stage(cell.name, "probe") / OUTSIDE)
    return Outside(images_outside(plan, pool).images, Signals(arrays))
