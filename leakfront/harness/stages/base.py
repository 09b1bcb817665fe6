"""The base that a run's models fine-tune: trained once, on public images, and shared by all cells."""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.defenses import TrainingSet
from leakfront.errors import DivergedError, InputError
from leakfront.harness.plan.plan import Plan
from leakfront.harness.plan.workload import TRAINING_WEIGHT
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.store.artifacts import discard
from leakfront.harness.store.code_keys import plugin_code
from leakfront.harness.store.layout import Layout
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    from leakfront.models import DiffusionModel

CHECKPOINT = "base.checkpoint"


def _settings(subject: Subject) -> list[Any]:
    config, family = subject.plan.config, subject.plan.model.base_family
    own = config.training.model_dump(exclude={"checkpoint_seconds", "epochs"})
    training = {**own, **subject.plan.model.base_training}
    return [training, family.name, family.version(), config.execution.device.partition(":")[0], config.seed]


def _code(subject: Subject) -> list[str]:
    return [
        *(f"leakfront.harness.training.{name}" for name in ("loop", "batches", "draws", "state")),
        "leakfront.defenses.training.plain_step", "leakfront.models.diffusion",
        *plugin_code(subject.plan.model.base_family),
    ]  # fmt: skip


def _run(work: Work) -> Files:
    """Train a model of the base's family on the public images, undefended; go on from its checkpoint if there is one.

    Raises `InputError` if its training diverges.
    """
    from leakfront.harness.training.loop import TrainingRun, train
    from leakfront.harness.training.state import Checkpoints

    plan, pool, layout = work.plan, work.pool, work.layout
    config, changed = plan.config, plan.model.base_training
    public = public_set(pool)
    refuse_overlap(public, pool)
    seed, place = derive_seed(config.seed, "base"), layout.root / CHECKPOINT
    channels, height, width = pool.images.shape[1:]
    captions = [pool.all_captions] if plan.model.text else []
    model: DiffusionModel = plan.model.base_family.build((channels, height, width), len(pool.classes), seed, *captions)
    settings = config.training.model_copy(update={"epochs": None, **changed})
    training = TrainingRun(settings=settings, stack=(), seed=seed, device=config.execution.device)
    checkpoints = Checkpoints(place, plan.keys[BASE.name], config.training.checkpoint_seconds)
    try:
        trained = train(model, public, public, float(len(public)), training, checkpoints, work.progress)
    except DivergedError as error:
        raise InputError(
            f"the training of the base diverged at step {error.step}; lower model.base_learning_rate, "
            f"{changed['learning_rate']:g}"
        ) from None
    discard(place)
    return {"model": model.save, "base.json": {"public_images": len(public), **asdict(trained)}}


BASE = Stage(
    "base", "run", inputs=("pool",), settings=_settings, code=_code, run=_run,
    needed=lambda plan: plan.model.base_family is not None,
)  # fmt: skip


def public_set(pool: Pool) -> TrainingSet:
    """The public images: those outside the pool and outside the reference."""
    index = np.full(len(pool.extractor_images), -1, np.int64)
    return TrainingSet(pool.extractor_images, pool.extractor_labels, index, captions=pool.extractor_captions)


def check_base(plan: Plan, pool: Pool) -> None:
    """Raise `InputError` if the models of a run have a base and the data leaves no public images to train it on."""
    if BASE.needed(plan) and not len(pool.extractor_images):
        raise InputError(
            f"model.name = {plan.model.name!r} trains a base on public images, those outside the pool and the "
            "reference, and there are none; lower data.pool or data.reference"
        )


def refuse_overlap(public: TrainingSet, pool: Pool) -> None:
    """Raise `InputError` if one of the public images is in the pool, or is a copy of one that training may see."""
    known = {hashlib.sha256(image.tobytes()).digest() for image in pool.variants}
    shared = sum(hashlib.sha256(image.tobytes()).digest() in known for image in public.images)
    if shared:
        raise InputError(
            f"{shared} of the {len(public)} public images that the base is trained on are in the pool too; then decoys "
            "would be trained on, so take them from another source"
        )


def base_work(plan: Plan) -> float:
    """The work of training the base, in forward passes of one image; 0 for models without one."""
    if not BASE.needed(plan):
        return 0.0
    changed = plan.model.base_training
    return float(TRAINING_WEIGHT * changed["steps"] * changed["batch_size"])


def load_base(plan: Plan, layout: Layout) -> DiffusionModel:
    """The trained base, on the CPU; the caller may change its network."""
    model: DiffusionModel = plan.model.base_family.load(layout.base / "model")
    return model
