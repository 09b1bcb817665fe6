"""The training of one model. Cells with the same weights share it; shorter trainings are snapshots of longer ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakfront.defenses import Defense, TrainingSet
from leakfront.errors import DivergedError, InputError
from leakfront.harness.machine.provenance import made_by
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.plan.trainings import weights_of
from leakfront.harness.plan.workload import training_work
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.base import BASE, load_base, public_set
from leakfront.harness.stages.prepare import load_prepared
from leakfront.harness.stages.stage import Files, Stage, Subject, Work, store
from leakfront.harness.store.artifacts import discard, read_manifest
from leakfront.harness.store.code_keys import content_key, plugin_code
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.secret import read_secret
from leakfront.registry import parameters
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    from leakfront.harness.training.loop import Trained
    from leakfront.models import DiffusionModel

CHECKPOINT = "train.checkpoint"
_SEVERAL = ("leakfront.harness.execution.data_parallel",)


def _settings(subject: Subject) -> list[Any]:
    config, model = subject.plan.config, subject.plan.model
    weights = weights_of(subject.cell.point.stack, config.training.steps)
    training = {**config.training.model_dump(exclude={"checkpoint_seconds"}, exclude_none=True), "steps": weights.steps}
    if config.execution.processes > 1:  # which changes the order of sums
        training["processes"] = config.execution.processes
    layers = [[layer.name, parameters(layer)] for layer in weights.layers]
    device = config.execution.device.partition(":")[0]  # which of several GPUs does not matter
    return [training, model.name, model.version(), layers, device, config.seed]


def _code(subject: Subject) -> list[str]:
    config = subject.plan.config
    layers = weights_of(subject.cell.point.stack, config.training.steps).layers
    several = _SEVERAL if config.execution.processes > 1 else ()
    return [
        *(f"leakfront.harness.training.{name}" for name in ("loop", "batches", "draws", "state")),
        "leakfront.defenses.training.plain_step", "leakfront.models.diffusion",
        *(name for layer in layers for name in plugin_code(layer)), *plugin_code(subject.plan.model), *several,
        *(["leakfront.models.external.plausibility"] if subject.plan.external else []),
        *(["leakfront.defenses.training.adversarial_step"] if subject.plan.model.kind == "generator" else []),
    ]  # fmt: skip


def _run(work: Work) -> Files:
    """Train the cell's model, from its checkpoint if there is one. With several ranks, the first writes the result.

    All defenses on a split start from the same weights, and draw the same batches if they draw in the same way, so that
    they can be compared in pairs.
    """
    from leakfront.harness.machine.memory import PeakMemory

    config, seed = work.plan.config, derive_seed(work.plan.config.seed, "training", work.cell.split)
    model = _fresh(work, seed)
    dataset, expected_size = load_prepared(work.cell, work.layout)
    facts: dict[str, Any] = {"training_images": len(dataset), "expected_size": expected_size}
    with PeakMemory(config.execution.device) as memory:
        try:
            trained = _train(work, model, dataset, expected_size, lambda: {**facts, "peak_memory_mib": memory.now()})
            facts |= {**asdict(trained), "diverged": None}
        except DivergedError as error:
            facts |= {"diverged": error.step}
    facts["peak_memory_mib"] = memory.mib
    if work.plan.external:
        facts["plausibility"] = _plausibility(work, model, dataset)
    if facts["diverged"] is None:
        return {"model": model.save, "train.json": facts}
    for steps, key in work.snapshots.items():
        if work.ranks.rank == 0 and steps >= facts["diverged"]:  # the shorter training would diverge at the same step
            store(work.layout.model(key), key, {"train.json": facts}, history(work))
    return {"train.json": facts}


def _fresh(work: Work, seed: int) -> DiffusionModel:
    """The model before its training: with fresh weights, or on the run's base."""
    if not BASE.needed(work.plan):
        return fresh_model(work.plan, work.pool, seed)
    model: DiffusionModel = work.plan.model.on(load_base(work.plan, work.layout), seed)
    return model


def _plausibility(work: Work, model: DiffusionModel, members: TrainingSet) -> dict[str, Any]:
    """Whether an external model is read rightly, from its errors on members."""
    import torch

    from leakfront.harness.training.batches import conditions_of
    from leakfront.harness.training.loop import to_unit_range
    from leakfront.models.external.plausibility import plausibility

    config = work.plan.config
    device = config.execution.device
    if model.network is not None:
        model.network.to(device)
    images, given = to_unit_range(members.images).to(device), conditions_of(model, members).to(device)
    generator = torch.Generator().manual_seed(derive_seed(config.seed, "plausibility"))
    found = plausibility(model, images, given, generator, config.probe.batch_size)
    if model.network is not None:
        model.network.cpu()
    return found


def fresh_model(plan: Plan, pool: Pool, seed: int) -> DiffusionModel:
    """A model with fresh weights for the images of the pool, and for all captions of the run."""
    channels, height, width = pool.images.shape[1:]
    captions = [pool.all_captions] if plan.model.text else []  # families of other packages need not take captions
    model: DiffusionModel = plan.model.build((channels, height, width), len(pool.classes), seed, *captions)
    return model


def _train(work: Work, model: DiffusionModel, dataset: TrainingSet, expected_size: float, facts: Any) -> Trained:
    """Train or fit the model in place; `facts` returns the numbers that the model shares with its snapshots."""
    from leakfront.harness.machine.clock import Stopwatch
    from leakfront.harness.training.batches import conditions_of
    from leakfront.harness.training.loop import Trained, TrainingRun, to_unit_range, train
    from leakfront.harness.training.state import Checkpoints

    config, key, made = work.plan.config, work.cell.keys[TRAIN.name], history(work)
    if not work.plan.model.trained:
        watch = Stopwatch(config.execution.device)
        fit: Any = model.fit  # of a text family it takes the conditions too
        fit(to_unit_range(dataset.images), *([conditions_of(model, dataset)] if work.plan.model.text else []))
        return Trained(0, watch.seconds, 0, [], {}, None)

    def keep(steps: int, shorter: DiffusionModel, trained: Trained) -> None:
        files = {"model": shorter.save, "train.json": {**facts(), **asdict(trained), "diverged": None}}
        store(work.layout.model(work.snapshots[steps]), work.snapshots[steps], files, made)

    weights = weights_of(work.cell.point.stack, config.training.steps)
    private = is_private(work.cell.point.stack)
    steps = weights.steps or config.training.in_steps(expected_size if private else len(dataset))
    training = TrainingRun(
        settings=config.training.model_copy(update={"steps": steps, "epochs": None}),
        stack=weights.layers,
        seed=derive_seed(config.seed, "training", work.cell.split),
        device=work.ranks.device(config.execution.device),
        privacy_key=_privacy_key(work) if private else None,
        ranks=work.ranks,
        snapshots=frozenset(work.snapshots),
    )
    checkpoints = Checkpoints(work.layout.model(key, CHECKPOINT), key, config.training.checkpoint_seconds, made)
    return train(model, dataset, public_set(work.pool), expected_size, training, checkpoints, work.progress, keep)


def history(work: Work) -> dict[str, Any]:
    """How this process makes the cell's model; "earlier": in which other ways its training began, by its checkpoint."""
    execution = work.plan.config.execution
    now = made_by(execution.threads, execution.device)
    checkpoint = read_manifest(work.layout.model(work.cell.keys[TRAIN.name], CHECKPOINT))
    before = {} if checkpoint is None or checkpoint["key"] != work.cell.keys[TRAIN.name] else checkpoint.get("made", {})
    ways = [before, *before.get("earlier", ())]
    earlier = [{key: value for key, value in way.items() if key != "earlier"} for way in ways]
    differing = [way for way in earlier if way and way != now]
    return {**now, "earlier": differing} if differing else now


def is_private(stack: Sequence[Defense]) -> bool:
    """Whether a training with these defenses draws from the run's secret."""
    return any(defense.private for defense in stack)


def _privacy_key(work: Work) -> bytes:
    """The key of a private model's draws: another one for every training set, defense, setting, and version of the code
    and of the libraries that it imports.

    Were two models to share their noise, the difference of their weights would show sums of gradients without noise.
    The number of processes and the device do not enter: they change a model by rounding alone.
    """
    training, model, version, layers, _, seed = _settings(work)
    training = {key: value for key, value in training.items() if key != "processes"}
    code = [name for name in _code(work) if name not in _SEVERAL]
    settings = [training, model, version, layers, seed]
    return read_secret(work.layout).key_of(content_key("draws", settings, [work.cell.keys["prepare"]], code))


TRAIN = Stage(
    "train",
    "model",
    inputs=("prepare",),
    also=lambda plan: [BASE.name] if BASE.needed(plan) else [],
    settings=_settings,
    code=_code,
    run=_run,
    work=lambda work: training_work(work.plan, work.cell),
)


def load_facts(cell: CellPlan, layout: Layout) -> dict[str, Any]:
    """The facts of a training: steps, seconds, model_calls, peak_memory_mib, losses, report, guarantee, diverged.
    Of an external model also `plausibility`.

    diverged: the step, or None. A diverged training has only this, peak_memory_mib, training_images and expected_size.
    Raises `InputError` if the file cannot be read.
    """
    path = layout.model(cell.keys[TRAIN.name]) / "train.json"
    try:
        facts: dict[str, Any] = json.loads(path.read_text())
        return {**facts, "diverged": facts["diverged"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); `leakfront run` makes it again") from None


def remove_checkpoint_of(cell: CellPlan, layout: Layout) -> None:
    """Delete the state of an unfinished training, if there is one."""
    discard(layout.model(cell.keys[TRAIN.name], CHECKPOINT))


def is_diverged(cell: CellPlan, layout: Layout) -> bool:
    """Whether the training of the cell's model ended at a value that is not finite."""
    return load_facts(cell, layout)["diverged"] is not None


def load_model(plan: Plan, cell: CellPlan, layout: Layout) -> DiffusionModel:
    """The cell's trained model, on the config's device."""
    folder: Path = layout.model(cell.keys[TRAIN.name]) / "model"
    model: DiffusionModel = plan.model.load(folder)
    if model.network is not None:
        model.network.to(plan.config.execution.device).eval().requires_grad_(False)
    return model
