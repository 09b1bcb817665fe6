"""All checks of a run's input, made before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from leakfront.attacks.prompts.generations import GenerationsByPrompt
from leakfront.datasets.files.problems import each
from leakfront.defenses import Defense
from leakfront.errors import InputError
from leakfront.harness.execution.devices import check_device
from leakfront.harness.execution.schedule import is_done
from leakfront.harness.plan.limits import check_gpu, check_threads
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.plan.told_labels import check_told_labels
from leakfront.harness.pool.pool import Pool
from leakfront.harness.settings.sections import Config
from leakfront.harness.stages import SAMPLE, TRAIN
from leakfront.harness.stages.base import check_base
from leakfront.harness.stages.halves import check_halves
from leakfront.harness.stages.pool import draw_pool, member_share, members_of
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.run_folder import check_compatible
from leakfront.memory import memory
from leakfront.registry import parameters

if TYPE_CHECKING:
    from leakfront.harness.execution.ray_cluster import RayCluster


def check_everything(config: Config, layout: Layout, cluster: RayCluster | None = None) -> tuple[Plan, Pool]:
    """Return the plan and the pool of a run. Raises `InputError` for wrong input, before anything is written.

    With a cluster, the cores and GPUs of this machine are not checked: `ray_cluster.join` has checked the nodes.
    """
    plan = make_plan(config, layout)
    if cluster is None:
        check_threads(config.execution)
        check_device(config.execution)
    check_compatible(layout, config)
    pool = _pool(plan, layout)
    for split in range(config.splits):
        coins = members_of(plan, layout, pool, split)
        members = int(coins.sum())
        if not 2 <= members <= len(pool) - 2:
            raise InputError(
                f"data.pool is {len(pool)}, which leaves split {split} with {members} members and "
                f"{len(pool) - members} decoys; attacks need at least 2 of each, so make the pool larger"
            )
    check_sampler(plan)
    check_captions(plan, pool)
    if told := [note for note in plan.model.caption_notes(pool.all_captions) if note not in pool.notes]:
        pool = replace(pool, notes=(*pool.notes, *told))
    check_base(plan, pool)
    check_halves(plan)
    check_told_labels(plan)
    check_generated_images(plan, pool, layout)
    plan.model.check((pool.images.shape[1], pool.images.shape[2], pool.images.shape[3]))
    if plan.external:
        check_external_model(plan, pool, layout)
        check_gpu(plan.model.gpu_bytes(), config.execution.device)
    if config.training.batch_size < config.execution.processes:
        raise InputError(
            f"training.batch_size is {config.training.batch_size}; it must not be below execution.processes, "
            f"{config.execution.processes}"
        )
    for point in plan.points:
        check_stack(plan, point.stack)
        for defense in point.stack:
            defense.check(float(pool.copies.sum()) * member_share(plan, coins), config.training.batch_size)
            if config.execution.processes > 1 and defense.one_process:
                raise InputError(
                    f"execution.processes is {config.execution.processes}, but a training step of {defense.name} "
                    "cannot be shared among processes; set it to 1"
                )
    for name in plan.judged_by(config.splits - 1):
        if len(pool) < (least := plan.attacks[name].minimum_pool()):
            raise InputError(f"attack {name!r} needs a pool of at least {least} images; data.pool is {len(pool)}")
    check_image_counts(plan, pool)
    check_generations(plan, pool)
    check_labels(plan, pool)
    check_subjects(plan, pool)
    return plan, pool


def _pool(plan: Plan, layout: Layout) -> Pool:
    """The run's pool. What is wrong with its files is told together with an order of classes that is not said.

    A file of a stranger, nested beyond Python's stack, is refused in one sentence.
    """
    try:
        pool, _ = each([lambda: draw_pool(plan, layout), lambda: check_class_order(plan)])
        assert pool is not None
        return pool
    except RecursionError:
        raise InputError(f"{layout.pool} holds a pool that is nested too deeply; delete the folder") from None


def check_class_order(plan: Plan) -> None:
    """Raise `InputError` if the images' classes can be numbered in two ways, and an external model depends on it."""
    if plan.external and plan.model.classes and (question := plan.dataset.class_question()):
        raise InputError(question)


def check_external_model(plan: Plan, pool: Pool, layout: Layout) -> None:
    """Raise `InputError` if the model does not know the classes of the images, or if its files are no model.

    The files are examined only until the model has been copied to the run's folder.
    """
    plan.model.check_classes(pool.classes)
    if not all(is_done(TRAIN, cell, layout) for cell in plan.cells):
        plan.model.examine()


def check_generated_images(plan: Plan, pool: Pool, layout: Layout) -> None:
    """Raise `InputError` if given images cannot be read, or are of another size than members and decoys.

    They are read only until they have been copied to the run's folder.
    """
    if plan.generated is None or all(is_done(SAMPLE, cell, layout) for cell in plan.cells):
        return
    (channels, height, width), wanted = plan.generated.load().images.shape[1:], pool.images.shape[1:]
    if (channels, height, width) != wanted:
        raise InputError(
            f"the images in {plan.generated.path} have {height}x{width} pixels and {channels} channels, and members "
            f"and decoys {wanted[1]}x{wanted[2]} and {wanted[0]}; set data.params.size and data.params.mode to bring "
            "all to one"
        )


def check_sampler(plan: Plan) -> None:
    """Raise `InputError` for more sampling steps than the model has timesteps, and for guidance without captions."""
    steps, timesteps = plan.config.sampling.steps, plan.model.timesteps
    if plan.model.kind == "diffusion" and steps > timesteps:
        raise InputError(f"sampling.steps is {steps}; it must not exceed the model's timesteps, {timesteps}")
    if plan.config.sampling.guidance != 1 and not plan.model.has_null:
        raise InputError(
            f"sampling.guidance is {plan.config.sampling.guidance:g}, but {plan.model.name!r} models know no empty "
            "condition to guide away from; leave it out"
        )


def check_stack(plan: Plan, stack: Sequence[Defense]) -> None:
    """Raise `InputError` for a defense that cannot change the models, and for two that undo each other."""
    guards = [defense for defense in stack if defense.overrides("guard")]
    steps = [defense for defense in stack if defense.makes_step]
    if len(steps) > 1:
        raise InputError(
            f"{steps[0].name} and {steps[1].name} both replace the training step; have only one of them in a stack"
        )
    for defense in stack:
        if plan.model.kind == "generator" and defense.overrides("training", "guard"):
            raise InputError(
                f"{defense.name} changes how a diffusion model is trained or sampled, and model.name = "
                f"{plan.model.name!r} makes its images in one call; use defenses of data or batches, such as dedup or "
                "augment"
            )
        if defense.needs_captions and not plan.model.text:
            raise InputError(
                f"{defense.name} works on captions, and model.name = {plan.model.name!r} is no text model; use "
                "text_to_image, or leave the defense out"
            )
        defense.check_family(plan.model)
        if defense.makes_sampler and guards and defense is not guards[0]:
            raise InputError(
                f"{defense.name} makes a new sampler, which would drop what {guards[0].name} does; of the defenses "
                "that act on sampling, put it first in the stack, and have only one of its kind"
            )


def check_captions(plan: Plan, pool: Pool) -> None:
    """Raise `InputError` for a text model without captions, or with captions that it cannot take, and for captions that
    are given to an external model without text."""
    if not plan.model.text:
        if plan.external and plan.has_model and getattr(plan.dataset, "captions_file", None) is not None:
            raise InputError(
                "data.params.captions_file (--captions) has captions, and the model takes none; leave it out"
            )
        return
    what = f"model.name = {plan.model.name!r} is a text model"
    if pool.captions is None and plan.external:
        return  # it is asked with the empty caption, which a note says
    if pool.captions is None:
        reads = "captions" in parameters(plan.dataset)
        remedy = "set data.params.captions = true" if reads else "use another, such as captioned_digits"
        raise InputError(f"{what}, and data.dataset = {plan.config.data.dataset!r} gives no captions; {remedy}")
    if not pool.reference_captions and not plan.external:
        raise InputError(
            f"{what}, whose samples are asked for by the captions of the reference, but there are no reference images; "
            "set data.reference"
        )
    plan.model.check_captions(pool.all_captions)


def check_image_counts(plan: Plan, pool: Pool) -> None:
    """Raise `InputError` if there are too few images for a metric on the chosen features."""
    for metric in plan.metrics:
        need = metric.minimum(plan.extractor.dimensions)
        counts = {
            "sampling.images": plan.config.sampling.images,
            "data.reference": len(pool.reference_images),
            "data.pool": len(pool),
        }
        for key, count in counts.items():
            if count < need:
                raise InputError(
                    f"{metric.name} on {plan.extractor.name!r} features of {plan.extractor.dimensions} dimensions "
                    f"needs at least {need} images, but {key} gives {count}; raise it, take {metric.name!r} out of "
                    "metrics.names, or choose other metrics.features"
                )


def check_generations(plan: Plan, pool: Pool) -> None:
    """Raise `InputError` if the images that an attack asks for by caption exceed the memory of this process."""
    for label in plan.judged_by(plan.config.splits - 1):
        for generation in plan.attacks[label].generations():
            if not isinstance(generation, GenerationsByPrompt):
                continue
            need = generation.kept(len(pool)) * pool.images[0].nbytes
            if need > memory():
                raise InputError(
                    f"attacks.{label} keeps {need / 2**30:,.1f} GiB of generated images, but this process may use "
                    f"{memory() / 2**30:,.1f} GiB; lower samples_per_prompt or once (--generations, --prompts), or set "
                    "keep = 'cliques' where the attack has it"
                )


def check_subjects(plan: Plan, pool: Pool) -> None:
    """Raise `InputError` if there are too few subjects for the audit, whose coins are theirs."""
    if pool.subjects is None or plan.known_membership:
        return
    count = int(np.max(pool.subjects)) + 1
    guesses = plan.config.statistics.guesses(count)
    if max(guesses) > count or min(guesses) < 2:
        raise InputError(
            f"statistics.audit_guesses comes to {', '.join(map(str, guesses))}, but the pool has {count} subjects, "
            "each with one coin; set it to an even number from 2 up that does not exceed them"
        )


def check_labels(plan: Plan, pool: Pool) -> None:
    """Raise `InputError` for features or a metric that need classes if images or samples have none, or too few."""
    for metric in plan.metrics:
        if not metric.needs_labels:
            continue
        if not plan.model.conditional:
            can = "conditional" in parameters(plan.model)
            remedy = "set model.conditional = true, or" if can else f"{plan.model.name!r} models have no classes, so"
            raise InputError(
                f"metrics.names has {metric.name!r}, which needs class-conditional samples; {remedy} take it out"
            )
        classes, images = len(pool.classes), plan.config.sampling.images
        if any((np.bincount(labels) > 1).sum() < 2 for labels in (pool.labels, pool.reference_labels)):
            raise InputError(
                f"metrics.names has {metric.name!r}, which needs at least 2 classes with 2 images each, in the pool as "
                f"in the reference; data.dataset = {plan.config.data.dataset!r} gives fewer, so take it out"
            )
        if images < 2 * classes:
            raise InputError(
                f"metrics.names has {metric.name!r}, which needs 2 samples of each of the {classes} classes, but "
                f"sampling.images is {images}; it must be at least {2 * classes}"
            )
    extractor = plan.extractor
    if extractor.needs_labels and len(np.unique(pool.extractor_labels)) < 2:
        raise InputError(
            f"metrics.features = {extractor.name!r} needs images of at least 2 classes outside the pool and the "
            f"reference, and data.dataset = {plan.config.data.dataset!r} leaves fewer; take others, such as "
            "'inception', or 'pixels' for small images"
        )
