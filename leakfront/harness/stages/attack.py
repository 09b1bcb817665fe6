"""Attacks on stored samples and signals; no model is needed, and no coin of the target is in reach."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from leakfront.attacks import PoolView, Scores, Shadow, Target
from leakfront.harness.machine.clock import Stopwatch
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.features import pool_set
from leakfront.harness.stages.prepare import load_members
from leakfront.harness.stages.probe import load_generated, load_outside, load_signals
from leakfront.harness.stages.sample import load_sample_labels, load_samples, load_unguarded_samples
from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.layout import Layout
from leakfront.seeds import derive_seed

WITH_WEIGHTS = "with_weights/"


def attack_cell(plan: Plan, cell: CellPlan, shadows: Sequence[CellPlan], layout: Layout, pool: Pool) -> list[str]:
    """Score the pool by every attack that can do with these shadow models; returns the keys of the scores.

    The target is handed over without its coins, which are not read in this stage: a cell may not be its own shadow.
    Shadows, the models of the other splits, come with theirs.
    """
    if cell.name in {shadow.name for shadow in shadows}:
        raise ValueError(f"{cell.name} is under attack and cannot be its own shadow model")

    @cache
    def seen() -> tuple[Target, list[Shadow]]:
        view = PoolView(pool.images, pool.labels, pool_set(layout, pool).matrix(), pool.variants, pool.variant_of)
        known = [(_target(plan, s, layout, pool, view), load_members(s, layout)) for s in shadows]
        return _target(plan, cell, layout, pool, view), [Shadow(**vars(t), members=coins) for t, coins in known]

    keys = []
    for name in plan.judged_by(len(shadows)):
        folder, key = layout.stage(cell.name, f"attack/{name}"), plan.attack_key(name, cell, shadows)
        keys.append(key)
        if stored_key(folder) == key:
            continue
        # by split alone: an attack's own random choices do not differ between defenses
        seed = derive_seed(plan.config.seed, "attack", name, cell.split)
        target, known = seen()
        watch = Stopwatch(plan.config.execution.device)
        attack, known = plan.attacks[name], [replace(shadow, seed=seed) for shadow in known]
        scores = attack.score(replace(target, seed=seed), known)
        facts = {"choices": scores.choices, "shadows": len(shadows), "seconds": watch.seconds}
        arrays = _arrays(scores, pool)
        unguarded = load_unguarded_samples(cell, layout)
        if attack.extracts and unguarded is not None:
            past = attack.score(replace(target, seed=seed, samples=unguarded), known)
            arrays |= {f"{WITH_WEIGHTS}{key}": values for key, values in _arrays(past, pool).items()}
        with writing(folder, key) as place:
            save_file(arrays, place / "scores.safetensors")
            (place / "attack.json").write_text(json.dumps(facts, indent=1))
    return keys


def _arrays(scores: Scores, pool: Pool) -> dict[str, np.ndarray]:
    if not np.isfinite(scores.score).all() or scores.score.shape != (len(pool),):
        raise ValueError("an attack must give one finite score for every pool image")
    matched = {f"matched_{rule}": mask for rule, mask in scores.matched.items()}
    arrays = {"score": scores.score.astype(np.float64), **matched, **scores.evidence}
    return {name: np.ascontiguousarray(values) for name, values in arrays.items()}


def _target(plan: Plan, cell: CellPlan, layout: Layout, pool: Pool, view: PoolView) -> Target:
    """What an attacker sees of a model."""
    return Target(
        pool=view,
        samples=load_samples(cell, layout),
        sample_labels=load_sample_labels(cell, layout),
        signals=load_signals(cell, layout),
        generated=load_generated(cell, layout),
        outside=load_outside(plan, cell, layout, pool),
        seed=0,
    )


def load_facts(name: str, cell: CellPlan, layout: Layout) -> dict[str, Any]:
    """choices: what the attack chose, and on what; shadows: how many it had; seconds: of its scoring."""
    facts: dict[str, Any] = json.loads((layout.stage(cell.name, f"attack/{name}") / "attack.json").read_text())
    return facts


def load_scores(name: str, cell: CellPlan, layout: Layout) -> dict[str, np.ndarray]:
    """`score` float64 [P], `matched_RULE` bool [P] and the attack's evidence.

    Behind defenses that guard the sampler, an attack on samples has the same again by "with_weights/" and its name:
    from samples that were drawn past them.
    """
    return load_file(layout.stage(cell.name, f"attack/{name}") / "scores.safetensors")
