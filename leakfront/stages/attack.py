"""Attacks on stored samples and signals; no model is needed, and no coin of the target is in reach."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from safetensors.numpy import load_file, save_file

from attacks import PoolView, Scores, Shadow, Target
from leakfront.layout import Layout
from leakfront.plan import CellPlan, Plan
from leakfront.pool import Pool
from leakfront.seeds import derive_seed
from leakfront.stages.prepare import load_members
from leakfront.stages.probe import load_signals
from leakfront.stages.sample import load_samples
from leakfront.store import stored_key, writing


def attack_cell(plan: Plan, name: str, cell: CellPlan, shadows: Sequence[CellPlan], layout: Layout, pool: Pool) -> str:
    """Score the pool by one attack, with the models of the other splits as shadows; returns the key of the scores.

    The target is handed over without its coins, which are not read in this stage. Shadows come with theirs.
    """
    folder, key = layout.stage(cell.name, f"attack/{name}"), plan.attack_key(name, cell, shadows)
    if stored_key(folder) == key:
        return key
    view = PoolView(pool.images, pool.labels, pool.variants, pool.variant_of)
    # by split alone: an attack's own random choices do not differ between defenses
    seed = derive_seed(plan.config.seed, "attack", name, cell.split)
    target = Target(view, load_samples(cell, layout), load_signals(cell, layout), seed)
    known = [
        Shadow(view, load_samples(s, layout), load_signals(s, layout), seed, load_members(s, layout)) for s in shadows
    ]
    scores: Scores = plan.attacks[name].score(target, known)
    if not np.isfinite(scores.score).all() or scores.score.shape != (len(pool.images),):
        raise ValueError(f"attack {name!r} must give one finite score for every pool image")
    with writing(folder, key) as place:
        arrays = {"score": scores.score.astype(np.float64)}
        arrays |= {f"matched_{rule}": matched for rule, matched in scores.matched.items()}
        arrays |= scores.evidence
        save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, place / "scores.safetensors")
        (place / "attack.json").write_text(json.dumps({"choices": scores.choices, "shadows": len(shadows)}, indent=1))
    return key


def load_scores(name: str, cell: CellPlan, layout: Layout) -> dict[str, np.ndarray]:
    """`score` float64 [P], `matched_RULE` bool [P] and the attack's evidence."""
    return load_file(layout.stage(cell.name, f"attack/{name}") / "scores.safetensors")
