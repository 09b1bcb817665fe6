"""All queries of the attacks to a cell's model, made once and stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.attacks import Signals
from leakfront.attacks.contract import signal_key
from leakfront.defenses import TrainingSet
from leakfront.harness.plan.query_cost import model_calls
from leakfront.harness.plan.workload import probing_work
from leakfront.harness.stages.earlier_probe import Arrays, earlier_probe
from leakfront.harness.stages.generated import GENERATING, generate, generation_key, guards_behind
from leakfront.harness.stages.probed import GENERATED, OUTSIDE, PAST_GUARDS, SIGNALS, images_outside
from leakfront.harness.stages.sample import aside, to_uint8
from leakfront.harness.stages.stage import Files, Progress, Stage, Subject, Work, silent
from leakfront.harness.stages.train import load_model
from leakfront.harness.store.code_keys import SEEDS, content_key, plugin_code, with_imports

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
    """Measure the distinct signals of all attacks on every pool image, and generate the images that they ask for.

    What the cell's stored artifact has already is kept. The seconds, and what is done aside, are then sums of both
    times.
    """
    from leakfront.harness.machine.clock import Stopwatch
    from leakfront.harness.training.batches import conditions_of

    plan, cell, pool = work.plan, work.cell, work.pool
    model, device = load_model(plan, cell, work.layout), plan.config.execution.device
    settings = ProbeSettings(plan.config.probe.batch_size, plan.config.probe.gradient_batch_size, plan.config.seed)
    outside, keys = images_outside(plan, pool), _content_keys(work)
    earlier = earlier_probe(work, keys)
    watch = Stopwatch(device)

    def measured(file: str, signals: Sequence[Any], asked: TrainingSet, progress: Progress) -> tuple[Arrays, int]:
        shown = InBatches(asked.images, device), conditions_of(model, asked).to(device)
        new = earlier.missing(file, signals)
        arrays, calls = measure_signals(new, model, *shown, settings, progress, asked.captions)
        if len(new) < len(signals):  # the calls that all of them need together
            calls = model_calls(signals, asked.images.shape[1:], plan.model.timesteps)
        return {**earlier.of(file), **arrays}, calls

    inside = TrainingSet(pool.images, pool.labels, np.arange(len(pool)), captions=pool.captions)
    conditions = conditions_of(model, inside).numpy()
    signals, calls = measured(SIGNALS, plan.signals, inside, work.progress)
    of_outside, outside_calls = measured(OUTSIDE, plan.outside_signals, outside, silent)
    decoded = _decoded(model, InBatches(pool.images, device), settings.batch_size)
    new = earlier.missing(GENERATED, plan.generations)
    generated, past_guards, new_calls = generate(work, model, conditions, Signals(signals), new)
    past_guards = {**earlier.of(PAST_GUARDS), **past_guards}
    generation_calls = {**earlier.calls, **new_calls}
    # the calls for all attacks together, per pool image; the sample stage counts its own calls
    per_image = calls + (outside_calls * len(outside) + sum(generation_calls.values())) / len(pool)
    return {
        SIGNALS: signals,
        OUTSIDE: of_outside,
        GENERATED: {**earlier.of(GENERATED), **generated},
        **({PAST_GUARDS: past_guards} if past_guards else {}),
        "conditions.safetensors": {"conditions": conditions},
        **({"decoded.safetensors": {"images": decoded}} if decoded is not None else {}),
        "probe.json": {"seconds": earlier.seconds + watch.seconds, "model_calls_per_image": per_image,
                       "generation_calls": generation_calls, "keys": keys,
                       **earlier.with_aside(aside(model, len(pool)))},
    }  # fmt: skip


def _content_keys(work: Work) -> dict[str, dict[str, str]]:
    """By file and by signal, or generation: the hash of all that decides its arrays, whatever else is asked."""
    plan, cell = work.plan, work.cell
    code = {*with_imports("leakfront.attacks.queries.queries"), *with_imports(__name__), SEEDS}

    def of(signals: Sequence[Any], *settings: int) -> dict[str, str]:
        return {
            signal_key(signal): content_key(
                "signal",
                [signal_key(signal), plan.config.seed, *settings],
                [cell.keys["train"]],
                sorted({*plugin_code(signal), *code}),
            )
            for signal in signals
        }

    guarded = [one for one in plan.generations if guards_behind(cell, one)]
    return {
        SIGNALS: of(plan.signals),
        OUTSIDE: of(plan.outside_signals, plan.config.probe.outside),
        GENERATED: {signal_key(one): generation_key(work, one, guards_behind(cell, one)) for one in plan.generations},
        PAST_GUARDS: {signal_key(one): generation_key(work, one, ()) for one in guarded},
    }


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
