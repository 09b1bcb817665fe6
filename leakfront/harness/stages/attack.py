"""Run attacks on stored samples and signals, without a model and without access to the coins of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from leakfront.attacks import PoolView, Scores, Shadow, Target
from leakfront.harness.machine.clock import Stopwatch
from leakfront.harness.plan.plan import CellPlan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.extractor import FITTED, extracted
from leakfront.harness.stages.generated import pool_view
from leakfront.harness.stages.prepare import load_members
from leakfront.harness.stages.probed import (
    load_conditions,
    load_decoded,
    load_generated,
    load_generated_with_weights,
    load_outside,
    load_signals,
)
from leakfront.harness.stages.sample import load_sample_prompts, load_samples, load_unguarded_samples
from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.stages.stored_json import read_facts
from leakfront.harness.store.code_keys import plugin_code
from leakfront.harness.store.layout import Layout
from leakfront.registry import parameters
from leakfront.results.metrics.image_set import ImageSet
from leakfront.seeds import derive_seed

WITH_WEIGHTS = "with_weights/"


def _settings(subject: Subject) -> list[Any]:
    plugin = subject.plan.attacks[subject.part]
    return [subject.part, plugin.name, parameters(plugin)]


def _code(subject: Subject) -> Sequence[str]:
    return [*plugin_code(subject.plan.attacks[subject.part]), "leakfront.harness.stages.generated"]


def _run(work: Work) -> Files:
    """Score the pool with one attack.

    The attack gets the target without its coins, and this stage does not read them; so a cell must not be its own
    shadow model. Shadow models, those of the other splits, come with their coins.
    """
    plan, cell, pool, layout = work.plan, work.cell, work.pool, work.layout
    if cell.name in {shadow.name for shadow in work.shadows}:
        raise ValueError(f"{cell.name} is under attack and cannot be its own shadow model")
    # by split alone, so that an attack's random choices are the same for all defenses
    seed = derive_seed(plan.config.seed, "attack", work.part, cell.split)
    view = pool_view(pool, load_conditions(cell, layout), layout, load_decoded(cell, layout))
    target = _target(work, cell, view, seed)
    known = [Shadow(**vars(_target(work, s, view, seed)), members=load_members(s, layout)) for s in work.shadows]
    attack, watch = plan.attacks[work.part], Stopwatch(plan.config.execution.device)
    scores = attack.score(target, known)
    facts = {"choices": scores.choices, "shadows": len(known), "seconds": watch.seconds}
    arrays = _arrays(scores, pool)
    unguarded = load_unguarded_samples(cell, layout)
    if unguarded is not None and (attack.extracts or any(g.served for g in attack.generations())):
        generated = load_generated_with_weights(cell, layout)
        others = [
            replace(shadow, generated=load_generated_with_weights(of, layout))
            for shadow, of in zip(known, work.shadows, strict=True)
        ]
        past = attack.score(replace(target, samples=unguarded, generated=generated), others)
        arrays |= {f"{WITH_WEIGHTS}{key}": values for key, values in _arrays(past, pool).items()}
    return {"scores.safetensors": arrays, "attack.json": facts}


ATTACK = Stage(
    "attack", "cell", inputs=("prepare", "sample", "probe", "extractor"), settings=_settings, code=_code, run=_run,
    siblings=True, parts=lambda plan, shadows: plan.judged_by(shadows),
)  # fmt: skip


def _arrays(scores: Scores, pool: Pool) -> dict[str, np.ndarray]:
    if not np.isfinite(scores.score).all() or scores.score.shape != (len(pool),):
        raise ValueError("an attack must give one finite score for every pool image")
    matched = {f"matched_{rule}": mask for rule, mask in scores.matched.items()}
    extraction = {} if scores.extraction is None else {"extraction": scores.extraction.astype(np.float64)}
    arrays = {"score": scores.score.astype(np.float64), **extraction, **matched, **scores.evidence}
    return {name: np.ascontiguousarray(values) for name, values in arrays.items()}


def _target(work: Work, cell: CellPlan, view: PoolView, seed: int) -> Target:
    """A model as an attacker sees it."""
    return Target(
        pool=view,
        samples=load_samples(cell, work.layout),
        sample_labels=load_sample_prompts(cell, work.layout),
        signals=load_signals(cell, work.layout),
        generated=load_generated(cell, work.layout),
        outside=load_outside(work.plan, cell, work.layout, work.pool),
        seed=seed,
        extract=partial(_extract, work),
    )


def _extract(work: Work, images: np.ndarray) -> np.ndarray:
    """The features of images by the run's extractor, in its first fit; see `Target`."""
    extractor = work.plan.extractor.load(work.layout.extractor / FITTED)
    features = np.concatenate(list(extracted(extractor, images, len(images))))
    return ImageSet((features,), fits=extractor.fits).first_fit.matrix()


def load_facts(name: str, cell: CellPlan, layout: Layout) -> dict[str, Any]:
    """The facts of an attack: choices (what it chose, and on what), shadows (their number), seconds (of scoring)."""
    return read_facts(layout.stage(cell.name, f"attack/{name}") / "attack.json", seconds=(int, float))


def load_scores(name: str, cell: CellPlan, layout: Layout) -> dict[str, np.ndarray]:
    """`score` float64 [P], `extraction` if counts rank by another score, `matched_RULE` bool [P] and the evidence.

    If defenses guard the sampler, an attack on samples has these arrays a second time, with "with_weights/" before
    their names, from samples drawn without the guards.
    """
    return load_file(layout.stage(cell.name, f"attack/{name}") / "scores.safetensors")
