"""Attacks on stored samples and signals; no model is needed, and no coin of the target is in reach."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from attacks import PoolView, Scores, Shadow, Target
from leakfront.layout import Layout
from leakfront.plan import CellPlan, Plan
from leakfront.pool import Pool
from leakfront.seeds import derive_seed
from leakfront.stages.prepare import load_members
from leakfront.stages.probe import load_generated, load_outside, load_signals
from leakfront.stages.reference import load_pool_features
from leakfront.stages.sample import load_sample_labels, load_samples
from leakfront.store import stored_key, writing


def attack_cell(plan: Plan, name: str, cell: CellPlan, shadows: Sequence[CellPlan], layout: Layout, pool: Pool) -> str:
    """Score the pool by one attack, with the models of the other splits as shadows; returns the key of the scores.

    The target is handed over without its coins, which are not read in this stage. Shadows come with theirs.
    """
    folder, key = layout.stage(cell.name, f"attack/{name}"), plan.attack_key(name, cell, shadows)
    if stored_key(folder) == key:
        return key
    view = PoolView(pool.images, pool.labels, load_pool_features(layout), pool.variants, pool.variant_of)
    # by split alone: an attack's own random choices do not differ between defenses
    seed = derive_seed(plan.config.seed, "attack", name, cell.split)
    target = _target(plan, cell, layout, pool, view, seed)
    known = [
        Shadow(**vars(_target(plan, s, layout, pool, view, seed)), members=load_members(s, layout)) for s in shadows
    ]
    start = time.monotonic()
    scores: Scores = plan.attacks[name].score(target, known)
    seconds = time.monotonic() - start
    if not np.isfinite(scores.score).all() or scores.score.shape != (len(pool.images),):
        raise ValueError(f"attack {name!r} must give one finite score for every pool image")
    with writing(folder, key) as place:
        arrays = {"score": scores.score.astype(np.float64)}
        arrays |= {f"matched_{rule}": matched for rule, matched in scores.matched.items()}
        arrays |= scores.evidence
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, place / "scores.safetensors")
        facts = {"choices": scores.choices, "shadows": len(shadows), "seconds": seconds}
        (place / "attack.json").write_text(json.dumps(facts, indent=1))
    return key


def _target(plan: Plan, cell: CellPlan, layout: Layout, pool: Pool, view: PoolView, seed: int) -> Target:
    """What an attacker sees of a model."""
    return Target(
        pool=view,
        samples=load_samples(cell, layout),
        sample_labels=load_sample_labels(cell, layout),
        signals=load_signals(cell, layout),
        generated=load_generated(cell, layout),
        outside=load_outside(plan, cell, layout, pool),
        seed=seed,
    )


def load_facts(name: str, cell: CellPlan, layout: Layout) -> dict[str, Any]:
    """choices: what the attack chose, and on what; shadows: how many it had; seconds: of its scoring."""
    facts: dict[str, Any] = json.loads((layout.stage(cell.name, f"attack/{name}") / "attack.json").read_text())
    return facts


def load_scores(name: str, cell: CellPlan, layout: Layout) -> dict[str, np.ndarray]:
    """`score` float64 [P], `matched_RULE` bool [P] and the attack's evidence."""
    return load_file(layout.stage(cell.name, f"attack/{name}") / "scores.safetensors")
