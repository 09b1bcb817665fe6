"""A finished run made by a seeded formula, for tests of what is drawn from rows: no model was trained for it.

Real digits are the pool; the generated images are copies of some members and mixtures of other images, so that the
extraction arrays belong together. Membership scores are normal draws, members' shifted by `leak`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from scipy.stats import mannwhitneyu

from results.rows import Row, frame
from results.run_data import RunData

ATTACKS = ("extraction", "loss", "pia", "secmi")
FDR = 0.05


@dataclass(frozen=True)
class Strength:
    """One point of the synthetic run: what the formula is to give."""

    defense: str
    params: str = ""
    fid: float = 12.5
    copied: int = 0  # members that the generated images repeat
    leak: float = 0.0  # shift of the members' scores, in standard deviations
    epsilon: float | None = None
    diverged: tuple[str, ...] = ()  # splits whose training diverged


TWO = (Strength("none", fid=12.5, copied=29, leak=1.1), Strength("dedup", "threshold=0.9", fid=10, leak=0.5))
TWELVE = (
    Strength("none", fid=12.5, copied=29, leak=1.1),
    Strength("dedup", "threshold=0.9", fid=10.1, copied=0, leak=0.5),
    Strength("augment", "policy=flip", fid=20, copied=0, leak=0.4),
    Strength("augment", "policy=strong", fid=100, copied=0, leak=0.1),
    Strength("early_stop", "steps=1000", fid=40, copied=0, leak=0.1),
    Strength("early_stop", "steps=2000", fid=23, copied=0, leak=0.4),
    Strength("dp_sgd", "epsilon=1", fid=400, epsilon=1.0),
    Strength("dp_sgd", "epsilon=10", fid=250, epsilon=10.0),
    Strength("dp_sgd", "epsilon=100", fid=150, leak=0.1, epsilon=100.0),
    Strength("dp_finetune", "epsilon=10", fid=60, leak=0.05, epsilon=10.0),
    Strength("capacity", "width=16", fid=30, copied=0, leak=0.3),
    Strength("capacity", "width=32", fid=18, copied=22, leak=0.7),
    Strength("regularize", "weight_decay=0.1", fid=14, copied=25, leak=0.9),
    Strength("ambient", "corruption=0.2", fid=35, copied=0, leak=0.2),
    Strength("ambient", "corruption=0.6", fid=90, copied=0, leak=0.0),
    Strength("distill", fid=16, copied=0, leak=0.15),
    Strength("guidance", "threshold=0.5", fid=13.5, copied=0, leak=1.0),
    Strength("filter", "distance=0.1", fid=12.8, copied=0, leak=1.1),
    Strength("dedup+dp_sgd", "threshold=0.9,epsilon=10", fid=240, epsilon=10.0),
)


def synthetic_run(
    folder: Path, strengths: Sequence[Strength] = TWO, name: str = "synthetic", splits: int = 3, pool: int = 256,
    samples: int = 400, attacks: Sequence[str] = ATTACKS, suite: str = "default", extractor: str = "embedded",
) -> RunData:
    """Write `results.csv`, `run.json` and the arrays into `folder`, and read them."""
    from sklearn.datasets import load_digits

    images = np.round(load_digits().images * 255 / 16).astype(np.uint8)[:pool, None]
    copies = np.ones(pool, dtype=np.int64)
    copies[:8] = 16
    _write(folder / "pool.safetensors", images=images, labels=np.zeros(pool, dtype=np.int64), copies=copies)
    rows: list[Row] = []
    cells = []
    for number, strength in enumerate(strengths):
        mine: list[Row] = []
        for split in range(splits):
            cell = f"{number:02d}-{split}"
            base = {"run": name, "cell": cell, "dataset": "digits", "model": "unet", "defense": strength.defense,
                    "params": strength.params, "split": str(split)}
            if str(split) in strength.diverged:
                rows.append(Row(**base, kind="privacy", source="train", metric="diverged", value=120.0 + split))
                continue
            rng = np.random.default_rng([number, split])
            members = np.random.default_rng(split).random(pool) < 0.5
            mine += _cell(folder / "cells" / cell, base, strength, images, members, samples, attacks, extractor, rng)
            cells.append({"name": cell, "defense": strength.defense, "params": strength.params, "split": str(split),
                          "folder": f"cells/{cell}"})
        rows += mine + _over_splits(mine)
    ends = {"defense": "", "run": name, "cell": "", "dataset": "digits", "model": "", "params": "", "split": "all"}
    for defense, fid in (("(held-out images)", 4.0), ("(noise)", 520.0)):
        rows.append(Row(**{**ends, "defense": defense}, kind="utility", source="fid", metric=f"fid_{extractor}",
                        value=fid, ci_low=fid * 0.9, ci_high=fid * 1.1, ci_method="jackknife", n=samples))
    frame(rows).to_csv(folder / "results.csv", index=False, na_rep="nan")
    (folder / "run.json").write_text(json.dumps(_info(name, strengths, cells, pool, samples, suite, extractor)))
    return RunData(folder)


def _cell(folder: Path, base: dict[str, str], strength: Strength, images: np.ndarray, members: np.ndarray,
          samples: int, attacks: Sequence[str], extractor: str, rng: np.random.Generator) -> list[Row]:
    """The arrays and rows of one model."""
    generated = _generate(images, members, strength.copied, samples, rng)
    _write(folder / "prepare" / "coins.safetensors", members=members)
    _write(folder / "sample" / "samples.safetensors", images=generated)
    extraction = _extraction(images, generated)
    rows = []

    def row(kind: str, source: str, metric: str, value: float, low: float = math.nan, high: float = math.nan,
            method: str = "formula", n: int = len(images)) -> None:
        rows.append(Row(**base, kind=kind, source=source, metric=metric, value=value, ci_low=low,  # type: ignore[arg-type]
                        ci_high=high, ci_method=method, n=n))

    for attack in attacks:
        shift = strength.leak * (1.0 - 0.15 * attacks.index(attack))
        score = extraction["score"] if attack == "extraction" else rng.normal(size=len(members)) + shift * members
        _write(folder / "attack" / attack / "scores.safetensors",
               **(extraction if attack == "extraction" else {"score": score}))
        m, d = score[members], score[~members]
        auc = float(mannwhitneyu(m, d).statistic / len(m) / len(d))
        row("privacy", attack, "auc", auc, auc - 0.04, min(auc + 0.04, 1.0))
        for rate in (0.1, 0.01):
            tpr = float((m > np.quantile(d, 1 - rate)).mean())
            row("privacy", attack, f"tpr_at_fpr_{rate}", tpr, max(tpr - 0.05, 0), min(tpr + 0.05, 1))
        row("privacy", attack, "tpr_at_fpr_0.001", math.nan, method=f"not attainable with {len(d)} decoys")
        row("privacy", attack, "epsilon_lower_bound", max(0.0, 4 * (auc - 0.55)), method="one-run audit, 95%")
        row("privacy", attack, "epsilon_lower_bound_ceiling", 2.9, method="one-run audit, 95%")
        row("cost", attack, "model_calls_per_image", 12.0)
    score = extraction["score"]
    threshold = _threshold(score, members)
    found = int((members & (score >= threshold)).sum())
    row("privacy", "extraction", "extracted_at_fdr_0.05", found, max(found - 8, 0), found + 4 + 0.1 * found,
        n=int(members.sum()))
    planted = int((members[:8] & (score[:8] >= threshold)).sum())
    row("privacy", "extraction", "planted_extracted_at_fdr_0.05", planted, n=int(members[:8].sum()))
    row("privacy", "extraction", "threshold_at_fdr_0.05", threshold)
    close = score >= -1
    row("privacy", "extraction", "members_adaptive", int((close & members).sum()))
    row("privacy", "extraction", "decoys_adaptive", int((close & ~members).sum()))
    if strength.epsilon is not None:
        row("privacy", "dp_sgd", "epsilon", strength.epsilon)
    fid = strength.fid * float(np.exp(0.05 * rng.normal()))
    row("utility", "fid", f"fid_{extractor}", fid, fid * 0.95, fid * 1.05)
    row("utility", "kid", f"kid_{extractor}", fid / 100, fid / 110, fid / 90)
    row("cost", "train", "training_seconds", 100.0 + 7 * rng.random() + 150 * (strength.epsilon is not None))
    return rows


def _generate(images: np.ndarray, members: np.ndarray, copied: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Noisy copies of `copied` members, some often and some once, and mixtures of pool images for the rest."""
    flat = images.astype(float)
    out = flat[rng.integers(len(images), size=(4, samples))].mean(axis=0)
    if copied:
        chosen = rng.permutation(np.flatnonzero(members))[:copied]
        often = rng.permutation(samples)[: samples // 3]
        weights = 1.0 / np.arange(1, copied + 1)
        who = np.concatenate([chosen, rng.choice(chosen, len(often) - copied, p=weights / weights.sum())])
        out[often] = flat[who]
    return np.clip(out + rng.normal(scale=8, size=out.shape), 0, 255).round().astype(np.uint8)


def _extraction(images: np.ndarray, generated: np.ndarray, n: int = 10) -> dict[str, np.ndarray]:
    """The arrays of the extraction attack, the slow obvious way."""
    a = generated.reshape(len(generated), -1) / 255
    b = images.reshape(len(images), -1) / 255
    distance = np.sqrt(((a[:, None] - b[None]) ** 2).mean(axis=2))
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :n]
    kept = np.take_along_axis(distance, nearest, axis=1)
    adaptive = distance / (0.5 * kept.mean(axis=1, keepdims=True))
    return {
        "neighbours": nearest.astype(np.int32),
        "neighbour_scores": np.take_along_axis(adaptive, nearest, axis=1).astype(np.float32),
        "score": -adaptive.astype(np.float32).min(axis=0).astype(np.float64),
        "nearest_sample": adaptive.argmin(axis=0),
    }


def _threshold(score: np.ndarray, members: np.ndarray) -> float:
    """The loosest threshold with (1 + decoys) / members at most 5%, or inf."""
    for candidate in np.sort(score):
        hit = score >= candidate
        if (1 + (hit & ~members).sum()) <= FDR * (hit & members).sum():
            return float(candidate)
    return math.inf


def _over_splits(rows: list[Row]) -> list[Row]:
    """The rows over splits: the mean, and the hull of the splits' intervals."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.source, row.metric), []).append(row)
    return [
        Row(r.run, "", r.dataset, r.model, r.defense, r.params, "all", r.kind, r.source, r.metric,
            float(np.mean([g.value for g in group])), float(np.min([g.ci_low for g in group])),
            float(np.max([g.ci_high for g in group])), r.ci_method, r.n)
        for group in groups.values() for r in group[:1]
    ]


def _info(name: str, strengths: Sequence[Strength], cells: list[dict[str, str]], pool: int, samples: int, suite: str,
          extractor: str) -> dict[str, object]:
    labels = {f"{s.defense} ({s.params})" if s.params else s.defense: s for s in strengths}
    return {
        "name": name, "title": "Digits, synthetic", "suite": suite, "seed": 0, "splits": 3, "pool": "pool.safetensors",
        "config": {"dataset": {"name": "digits", "pool": pool}, "train": {"steps": 3000}},
        "versions": {"python": "3.11.7", "torch": "2.13.0"}, "git": {"commit": "0" * 40, "dirty": True},
        "machine": {"cpu": "a CPU", "cores": 2, "memory_gib": 8, "python": "3.11.7", "gpu": None},
        "dataset": {"name": "digits", "checksum": "sha256:abc", "pool": pool, "members_expected": pool // 2,
                    "reference": "test", "extractor": extractor},
        "samples_per_model": samples, "cells": cells, "wall_seconds": 1234.5, "threads": 1, "workers": 2,
        "guarantees": {label: None if s.epsilon is None else
                       {"epsilon": s.epsilon, "delta": 1e-5, "accountant": "PRV", "unit": "training image"}
                       for label, s in labels.items()},
        "covers": {label: "nothing" if label == "none" else "samples, loss, gradients" for label in labels},
        "diverged": [],
    }


def _write(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, path)
