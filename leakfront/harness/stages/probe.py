"""All queries of the attacks to a cell's model, made once and stored."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import safe_open

from leakfront.attacks import Outside, Signals
from leakfront.attacks.contract import signal_key
from leakfront.defenses import TrainingSet
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.plan.workload import probing_work
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.generated import GENERATING, generate
from leakfront.harness.stages.sample import aside, to_uint8
from leakfront.harness.stages.stage import Files, Progress, Stage, Subject, Work, silent
from leakfront.harness.stages.train import load_model
from leakfront.harness.store.code_keys import plugin_code, with_imports
from leakfront.harness.store.layout import Layout

if TYPE_CHECKING:
    import torch

    from leakfront.models import DiffusionModel


@dataclass(frozen=True)
class ProbeSettings:
    """How signals are measured.

    batch_size: images per batch. gradient_batch: images per batch when a gradient is kept for each image. seed: that of
    the noise, the same for all cells of a run, so that the signals of shadow models are comparable.
    """

    batch_size: int = 256
    gradient_batch: int = 64
    seed: int = 0


def _settings(subject: Subject) -> list[Any]:
    plan = subject.plan
    asked = [[signal_key(s) for s in group] for group in (plan.signals, plan.outside_signals, plan.generations)]
    return [*asked, *([[f"outside={plan.config.probe.outside}"]] if plan.outside_signals else [])]


def _code(subject: Subject) -> list[str]:
    plan = subject.plan
    asked = [name for one in (*plan.signals, *plan.outside_signals, *plan.generations) for name in plugin_code(one)]
    queries, sampling = "leakfront.attacks.queries.queries", "leakfront.models.sampling"
    drawing = GENERATING if plan.generations else ()
    return [*asked, *with_imports(queries), *with_imports(sampling), *drawing]


def _run(work: Work) -> Files:
    """Measure the distinct signals of all attacks on every pool image, and generate the images that they ask for."""
    from leakfront.harness.machine.clock import Stopwatch
    from leakfront.harness.training.batches import conditions_of

    plan, cell, pool = work.plan, work.cell, work.pool
    model, device = load_model(plan, cell, work.layout), plan.config.execution.device
    settings = ProbeSettings(plan.config.probe.batch_size, plan.config.probe.gradient_batch_size, plan.config.seed)
    outside = _outside(plan, pool)
    watch = Stopwatch(device)

    def measured(signals: Sequence[Any], asked: TrainingSet, progress: Progress) -> Any:
        shown = InBatches(asked.images, device), conditions_of(model, asked).to(device)
        return measure_signals(signals, model, *shown, settings, progress, asked.captions)

    inside = TrainingSet(pool.images, pool.labels, np.arange(len(pool)), captions=pool.captions)
    conditions = conditions_of(model, inside).numpy()
    signals, calls = measured(plan.signals, inside, work.progress)
    of_outside, outside_calls = measured(plan.outside_signals, outside, silent)
    decoded = _decoded(model, InBatches(pool.images, device), settings.batch_size)
    generated, past_guards, generation_calls = generate(work, model, conditions, Signals(signals))
    # the calls for all attacks together, per pool image; the sample stage counts its own calls
    per_image = calls + (outside_calls * len(outside) + sum(generation_calls.values())) / len(pool)
    seconds = watch.seconds
    return {
        "signals.safetensors": signals,
        "outside.safetensors": of_outside,
        "generated.safetensors": generated,
        **({"generated_with_weights.safetensors": past_guards} if past_guards else {}),
        "conditions.safetensors": {"conditions": conditions},
        **({"decoded.safetensors": {"images": decoded}} if decoded is not None else {}),
        "probe.json": {"seconds": seconds, "model_calls_per_image": per_image, "generation_calls": generation_calls,
                       **aside(model, len(pool))},
    }  # fmt: skip


def _decoded(model: DiffusionModel, images: InBatches, batch_size: int) -> np.ndarray | None:
    """What the autoencoder of a latent model makes of images, uint8 [N, C, H, W]; None in pixel space."""
    import torch

    from leakfront.models.contract import in_pixels

    if in_pixels(model):
        return None
    with torch.no_grad():
        firsts = range(0, len(images), batch_size)
        parts = [model.decode(model.encode(images[slice(first, first + batch_size)])) for first in firsts]
    return np.concatenate([to_uint8(part) for part in parts])


PROBE = Stage(
    "probe", "cell", inputs=("train",), also=lambda plan: ("features",) if plan.generations else (),
    settings=_settings, code=_code, run=_run, work=lambda work: probing_work(work.plan, work.pool.images.shape[1:]),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class InBatches:
    """Images as a model sees them, float32 [n, C, H, W] in [-1, 1] on a device, made one slice at a time.

    images: uint8 [N, C, H, W].
    """

    images: np.ndarray
    device: str

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> torch.Tensor:
        from leakfront.harness.training.loop import to_unit_range

        return to_unit_range(self.images[rows]).to(self.device)


def measure_signals(
    signals: Sequence[Any],
    model: DiffusionModel,
    images: torch.Tensor | InBatches,
    condition: torch.Tensor,
    settings: ProbeSettings,
    progress: Progress,
    captions: Sequence[str] | None = None,
) -> tuple[dict[str, np.ndarray], int]:
    """Measure signals on images, float32 [N, C, H, W] in [-1, 1], with their conditions, int64 [N, ...], and captions.

    Returns the arrays by "<signal key>/<name>", and the model calls per image.
    """
    import torch

    from leakfront.attacks.queries.queries import Queries

    parts: dict[str, list[np.ndarray]] = {}
    calls = 0
    for first in range(0, len(images) if signals else 0, settings.batch_size):
        rows = slice(first, first + settings.batch_size)
        texts = captions and captions[rows]
        queries = Queries(model, images[rows], condition[rows], settings.seed, settings.gradient_batch, texts)
        for signal in signals:
            with torch.no_grad():
                measured = signal.measure(queries)
            for name, values in measured.items():
                parts.setdefault(f"{signal_key(signal)}/{name}", []).append(values.cpu().numpy())
        calls = queries.calls
        progress(min(first + settings.batch_size, len(images)), len(images), {})
    return {key: np.ascontiguousarray(np.concatenate(values)) for key, values in parts.items()}, calls


def _outside(plan: Plan, pool: Pool) -> TrainingSet:
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
    return Signals(StoredArrays(layout.stage(cell.name, "probe") / "signals.safetensors"))


def load_generated(cell: CellPlan, layout: Layout) -> Signals:
    """The stored generations of a cell, as served."""
    return Signals(StoredArrays(layout.stage(cell.name, "probe") / "generated.safetensors"))


def load_generated_with_weights(cell: CellPlan, layout: Layout) -> Signals:
    """The stored generations of a cell, those that are `served` without the defenses that guard the sampler."""
    folder = layout.stage(cell.name, "probe")
    names = ("generated_with_weights.safetensors", "generated.safetensors")
    return Signals(ChainMap(*(dict(StoredArrays(folder / name)) for name in names if (folder / name).exists())))


def load_conditions(cell: CellPlan, layout: Layout) -> np.ndarray:
    """The conditions of the pool's images, int64 [P, ...], as the cell's model takes them."""
    return StoredArrays(layout.stage(cell.name, "probe") / "conditions.safetensors")["conditions"]


def load_decoded(cell: CellPlan, layout: Layout) -> np.ndarray | None:
    """What the autoencoder of a latent model makes of the pool's images, uint8 [P, C, H, W]; None in pixel space."""
    path = layout.stage(cell.name, "probe") / "decoded.safetensors"
    return StoredArrays(path)["images"] if path.exists() else None


def load_outside(plan: Plan, cell: CellPlan, layout: Layout, pool: Pool) -> Outside:
    """Images outside the pool, with a cell's stored signals on them."""
    arrays = StoredArrays(layout.stage(cell.name, "probe") / "outside.safetensors")
    return Outside(_outside(plan, pool).images, Signals(arrays))
