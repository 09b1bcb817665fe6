"""A finished run made by a seeded formula, for tests of what is drawn from rows: no model was trained for it.

Real digits are the pool; the generated images are copies of some members and mixtures of other images, so that the
extraction arrays belong together. Membership scores are normal draws, members' shifted by `leak`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from leakfront.results.run.data import RunData
from leakfront.results.run.rows import ALL, HELD_OUT, NOISE, Row, frame
from leakfront.results.statistics.counts import extracted_at_fdr

ATTACKS = ("extraction", "loss", "pia", "secmi")
# label -> plug-in's name, access, what shadow models are for, whether what it finds is counted
FACTS: dict[str, tuple[str, str, str, bool]] = {
    "blind": ("blind", "none", "choices", False),
    "extraction": ("extraction", "samples", "none", True),
    "outlier": ("outlier", "samples", "none", True),
    "generate_and_filter": ("generate_and_filter", "samples", "choices", True),
    "side": ("side", "loss", "none", True),
    "inpainting": ("inpainting", "loss", "none", False),
    "loss": ("loss", "loss", "choices", False),
    "lira_online": ("lira", "loss", "fit", False),
    "lira_offline": ("lira", "loss", "fit", False),
    "lira_strong": ("lira", "loss", "fit", False),
    "quantile": ("quantile", "loss", "choices", False),
    "secmi": ("secmi", "loss", "none", False),
    "secmi_learned": ("secmi_learned", "loss", "fit", False),
    "pia": ("pia", "loss", "choices", False),
    "pian": ("pian", "loss", "choices", False),
    "sima": ("sima", "loss", "choices", False),
    "pfami": ("pfami", "loss", "none", False),
    "rediffuse": ("rediffuse", "loss", "none", False),
    "dataset_inference": ("dataset_inference", "loss", "fit", False),
    "gsa1": ("gsa", "gradients", "fit", False),
    "gsa2": ("gsa", "gradients", "fit", False),
    "trajectory": ("trajectory", "gradients", "fit", False),
}
V1 = tuple(FACTS)
BY_PROMPT = "generate_by_prompt"  # of a text model; then the pool has captions
FACTS[BY_PROMPT] = (BY_PROMPT, "samples", "choices", True)
SET_SIZES = (5, 10, 20)
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
    diverged: tuple[int, ...] = ()  # splits whose training diverged
    past: int | None = None  # extracted past a defense that guards the sampler
    steps: int | None = None  # of training; None: those of `params`, "steps=1000", or 4,000
    whole: str | None = None  # label of the same training to the end, of a model that stops at a fixed step

    @property
    def label(self) -> str:
        return f"{self.defense} ({self.params})" if self.params else self.defense


TWO = (Strength("none", fid=12.5, copied=29, leak=1.1), Strength("dedup", "threshold=0.9", fid=10, leak=0.5))
TWELVE = (
    Strength("none", fid=12.5, copied=29, leak=1.1),
    Strength("dedup", "threshold=0.9", fid=10.1, leak=0.5),
    Strength("augment", "policy=flip", fid=20, leak=0.4),
    Strength("augment", "policy=strong", fid=100, leak=0.1),
    Strength("early_stop", "steps=1000", fid=40, leak=0.1, whole="none"),
    Strength("early_stop", "steps=2000", fid=23, leak=0.4, whole="none"),
    Strength("dp_sgd", "epsilon=1", fid=400, epsilon=1.0),
    Strength("dp_sgd", "epsilon=10", fid=250, epsilon=10.0),
    Strength("dp_sgd", "epsilon=100", fid=150, leak=0.1, epsilon=100.0),
    Strength("dp_finetune", "epsilon=10", fid=60, leak=0.05, epsilon=10.0),
    Strength("capacity", "width=16", fid=30, leak=0.3),
    Strength("capacity", "width=32", fid=18, copied=22, leak=0.7),
    Strength("regularize", "weight_decay=0.1", fid=14, copied=25, leak=0.9),
    Strength("ambient", "corruption=0.2", fid=35, leak=0.2),
    Strength("ambient", "corruption=0.6", fid=90),
    Strength("distill", fid=16, leak=0.15),
    Strength("guidance", "threshold=0.5", fid=13.5, leak=1.0, past=29),
    Strength("filter", "distance=0.1", fid=12.8, leak=1.1, past=29),
    Strength("dedup+dp_sgd", "threshold=0.9, epsilon=10", fid=240, epsilon=10.0),
)


@dataclass(frozen=True)
class Settings:
    """What the runs of one protocol share."""

    name: str = "synthetic"
    title: str = "Digits, synthetic"
    splits: int = 3
    pool: int = 256
    samples: int = 400
    attacks: tuple[str, ...] = ATTACKS
    suite: str = "quick"
    features: str = "embedded"
    left_out: Mapping[str, str] = field(default_factory=dict)  # attack -> why no model was attacked with it
    in_front: tuple[str, ...] = ()  # the attacks named before the run; none in runs of earlier versions
    control_leak: float = 0.0  # shift of the control's scores of members, where there should be none


@cache
def digits() -> np.ndarray:
    """Real digits, uint8 [N, 1, 8, 8]."""
    from sklearn.datasets import load_digits

    return np.round(load_digits().images * 255 / 16).astype(np.uint8)[:, None]


def synthetic_run(folder: Path, strengths: Sequence[Strength] = TWO, **settings: Any) -> RunData:
    """Write `results.csv`, `run.json` and the arrays into `folder`, and read them. settings: those of `Settings`."""
    protocol = Settings(**settings)
    images = digits()[: protocol.pool]
    copies = np.where(np.arange(protocol.pool) < 8, 16, 1)
    _write(
        folder / "pool" / "pool.safetensors",
        images=images,
        labels=np.zeros(protocol.pool, dtype=np.int64),
        copies=copies,
        **({"captions": _captions(protocol.pool)} if BY_PROMPT in protocol.attacks else {}),
    )
    rows = _ends_of_the_scale(protocol)
    cells = []
    for number, strength in enumerate(strengths):
        mine: list[Row] = []
        for split in range(protocol.splits):
            name = f"{number:02d}-split{split}"
            cell = Row(run=protocol.name, cell=name, dataset="digits", model="unet", defense=strength.defense,
                       params=strength.params, split=str(split), kind="privacy", source="train", metric="diverged",
                       value=120.0 + split)  # fmt: skip
            if split in strength.diverged:
                rows.append(replace(cell, kind="utility", n=1))
                continue
            mine += _Cell(cell, strength, protocol, folder / "cells" / name, images, number).rows()
            cells.append({"name": name, "defense": strength.defense, "params": strength.params, "split": str(split),
                          "folder": f"cells/{name}"})  # fmt: skip
        rows += mine + _over_splits(mine)
    frame(rows).to_csv(folder / "results.csv", index=False, na_rep="nan")
    (folder / "run.json").write_text(json.dumps(_info(protocol, strengths, cells)))
    return RunData(folder)


class _Cell:
    """One model of the run: its arrays are written, its rows returned."""

    def __init__(
        self, row: Row, strength: Strength, protocol: Settings, folder: Path, images: np.ndarray, number: int
    ) -> None:
        self._row, self._strength, self._protocol, self._folder = row, strength, protocol, folder
        split = int(row.split)
        self._images, self._rng = images, np.random.default_rng([number, split])
        self._members = np.random.default_rng(split).random(len(images)) < 0.5

    def rows(self) -> list[Row]:
        members, strength, rng = self._members, self._strength, self._rng
        generated = _generate(self._images, members, strength.copied, self._protocol.samples, rng)
        extraction = _extraction(self._images, generated)
        _write(self._folder / "prepare" / "coins.safetensors", members=members)
        _write(self._folder / "sample" / "samples.safetensors", images=generated)
        rows = []
        for place, attack in enumerate(self._protocol.attacks):
            if attack in self._protocol.left_out:
                reason = self._protocol.left_out[attack]
                rows.append(self._one("privacy", attack, "left_out", self._protocol.splits - 1, method=reason))
                continue
            access = FACTS.get(attack, ("", "loss", "none", False))[1]
            strong = {"none": 0.0, "gradients": 2.0}.get(access, 1.0)
            shift = (
                self._protocol.control_leak if access == "none" else strong * strength.leak * (1 - 0.15 * (place % 6))
            )
            scores = {"score": rng.normal(size=len(members)) + shift * members}
            if attack == "extraction":
                scores = extraction
            elif attack == "inpainting":
                scores = self._inpainted(scores["score"])
            elif attack == BY_PROMPT:
                scores |= self._by_prompt()
                rows += self._shown(scores)
            _write(self._folder / "attack" / attack / "scores.safetensors", **scores)
            rows += self._membership(attack, scores["score"]) + self._costs(attack, place)
            if attack == "dataset_inference":
                rows += self._sets(shift)
        rows += self._extracted(extraction["score"])
        if strength.past is not None:
            rows.append(self._one("privacy", "extraction", "extracted_at_fdr_with_weights", strength.past,
                                  strength.past - 3, strength.past + 3, level=FDR))  # fmt: skip
        apart = sum(row.value for row in rows if row.metric == "model_calls_per_image")
        rows.append(self._one("cost", "suite", "model_calls_per_image", 0.4 * apart))
        rows.append(self._one("cost", "suite", "model_calls_per_image_apart", apart))
        rows.append(self._one("cost", "probe", "probe_seconds", 31.5))
        fid = strength.fid * float(np.exp(0.05 * rng.normal()))
        features = self._protocol.features
        rows.append(self._one("utility", "fid", f"fid_{features}", fid, fid * 0.95, fid * 1.05))
        rows.append(self._one("utility", "kid", f"kid_{features}", fid / 100, fid / 110, fid / 90))
        seconds = 100.0 + 7 * rng.random() + 150 * (strength.epsilon is not None)
        return [*rows, self._one("cost", "train", "training_seconds", seconds, n=1), *self._more_costs()]

    def _more_costs(self) -> list[Row]:
        """A private model takes fewer and dearer steps; a guard of the sampler draws some images again."""
        private, guarded = self._strength.epsilon is not None, self._strength.past is not None
        seconds = (5 + self._rng.random()) * (1 + guarded)
        name, _, stated = self._strength.params.partition("=")
        steps = self._strength.steps or (int(stated) if name == "steps" else 4000)
        return [
            self._one("cost", "train", "training_steps", steps, n=1),
            self._one("cost", "train", "training_model_calls", 16000 if private else 64000, n=1),
            self._one("cost", "train", "peak_memory_mib", 500 + 200 * private + 9 * self._rng.random(), n=1),
            self._one("cost", "sample", "sampling_seconds", seconds),
            self._one("cost", "sample", "model_calls_per_image", 20.0 * (1 + guarded)),
        ]

    def _one(self, kind: Any, source: str, metric: str, value: float, low: float = math.nan, high: float = math.nan,
             method: str = "formula", n: int = 0, level: float | None = None) -> Row:  # fmt: skip
        return replace(self._row, kind=kind, source=source, metric=metric, level=level, value=float(value), ci_low=low,
                       ci_high=high, ci_method=method, n=n or len(self._members))  # fmt: skip

    def _membership(self, attack: str, score: np.ndarray) -> list[Row]:
        member, decoy = score[self._members], score[~self._members]
        above, level = member[:, None] > decoy, member[:, None] == decoy
        auc = float((above.sum() + level.sum() / 2) / len(member) / len(decoy))
        half = 0.12 if FACTS.get(attack, ("", ""))[1] == "none" else 0.04  # no false alarm of the control
        rows = [self._one("privacy", attack, "auc", auc, auc - half, min(auc + half, 1.0))]
        for rate in (0.1, 0.01):
            tpr = float((member > np.quantile(decoy, 1 - rate)).mean())
            low, high = max(tpr - 0.05, 0), min(tpr + 0.05, 1)
            rows.append(self._one("privacy", attack, "tpr_at_fpr", tpr, low, high, level=rate, n=len(member)))
        reason = f"not attainable with {len(decoy)} decoys"
        audit = "one-run audit"
        bound = max(0.0, 4 * (auc - 0.55))
        return [
            *rows,
            self._one("privacy", attack, "tpr_at_fpr", math.nan, method=reason, level=0.001, n=len(member)),
            self._one("privacy", attack, "epsilon_lower_bound", bound, bound, math.inf, audit),
            self._one("privacy", attack, "epsilon_lower_bound_ceiling", 2.9, method=audit),
        ]

    def _costs(self, attack: str, place: int) -> list[Row]:
        calls = 0.0 if FACTS.get(attack, ("", "loss"))[1] == "none" else 12.0 * (1 + place)
        seconds = self._one("cost", attack, "scoring_seconds", 0.02 + 1.7 * place, n=1)
        return [self._one("cost", attack, "model_calls_per_image", calls), seconds]

    def _sets(self, shift: float) -> list[Row]:
        """Sets of members are detected the surer the larger they are; one set of decoys in 20 is a false alarm."""
        rows = []
        for size in SET_SIZES:
            found = 1 - 0.95 * math.exp(-shift * size / 3)
            for kind, share in (("members", found), ("decoys", 0.05)):
                source, level = "dataset_inference", float(size)
                rows.append(self._one("privacy", source, f"set_p_value_{kind}", 1 - share, level=level))
                rows.append(self._one("privacy", source, f"set_detected_{kind}", share, n=200, level=level))
        return rows

    def _inpainted(self, score: np.ndarray) -> dict[str, np.ndarray]:
        """The best-scored images come back nearly as they were, the others as noise."""
        masked = self._images.shape[-1] // 2
        rank = score.argsort().argsort() / len(score)
        images, noise = self._images.astype(float), self._rng.uniform(0, 255, self._images.shape)
        share = rank[:, None, None, None] ** 2
        inpainted = np.round(share * images + (1 - share) * noise).astype(np.uint8)
        inpainted[..., masked:] = self._images[..., masked:]
        apart = (inpainted[..., :masked] / 255.0 - self._images[..., :masked] / 255.0) ** 2
        return {"score": score, "inpainted": inpainted, "errors": np.sqrt(apart.mean(axis=(1, 2, 3)))}

    def _by_prompt(self) -> dict[str, np.ndarray]:
        """Planted members are given by their captions, and two decoys' captions give the image of a member."""
        members = np.flatnonzero(self._members)
        own, others = members[members < 8], np.flatnonzero(~self._members)[-2:]
        pairs, shown = np.concatenate([own, others]), np.concatenate([own, members[-2:]])
        noise = self._rng.normal(scale=6, size=(len(pairs), 5, *self._images.shape[1:]))
        images = np.clip(self._images[shown][:, None] + noise, 0, 255).round().astype(np.uint8)
        shows = np.full(len(self._members), -2)
        shows[pairs] = shown
        places = np.arange(len(shows))
        return {
            "matched_flagged": shows >= -1, "matched_extracted": shows == places,
            "matched_any_prompt": np.isin(places, shown), "clique_shows": shows, "asked": np.ones(len(shows), bool),
            "copies_prompt": pairs, "copies_images": images, "copies_distance": 0.02 + 0.01 * np.arange(len(pairs)),
            "copies_own": np.where(pairs == shown, 0.02, 0.3),
        }  # fmt: skip

    def _shown(self, scores: dict[str, np.ndarray]) -> list[Row]:
        members, source = self._members, BY_PROMPT
        n, planted = int(members.sum()), int(members[:8].sum())
        rows = [self._one("privacy", source, "extracted_at_fdr", 0, 0, planted, n=n, level=FDR)]
        for rule in ("flagged", "extracted", "any_prompt"):
            true, false = ((scores[f"matched_{rule}"] & side).sum() for side in (members, ~members))
            rows += [self._one("privacy", source, f"members_{rule}", true, n=n),
                     self._one("privacy", source, f"decoys_{rule}", false, n=len(members) - n),
                     self._one("privacy", source, f"precision_{rule}", true / max(true + false, 1), 0, 1)]  # fmt: skip
        shown = scores["clique_shows"][scores["clique_shows"] >= 0]
        kinds = {"member": members[shown].sum(), "decoy": (~members[shown]).sum(), "nothing": 0}
        rows += [self._one("privacy", source, f"cliques_showing_{kind}", count) for kind, count in kinds.items()]
        return [*rows, self._one("privacy", source, "planted_members_asked", planted)]

    def _extracted(self, score: np.ndarray) -> list[Row]:
        members, source = self._members, "extraction"
        found = extracted_at_fdr(score, members)
        planted, close = found.mask[:8].sum(), score >= -1
        low, high = max(found.count - 8, 0), found.count * 1.1 + 4
        true, false = (close & members).sum(), (close & ~members).sum()
        n, groups = int(members.sum()), int(members[:8].sum())
        rows = [
            self._one("privacy", source, "extracted_at_fdr", found.count, low, high, n=n, level=FDR),
            self._one("privacy", source, "planted_extracted_at_fdr", planted, n=groups, level=FDR),
            self._one("privacy", source, "unique_extracted_at_fdr", found.count - planted, n=n - groups, level=FDR),
            self._one("privacy", source, "precision_adaptive", true / max(true + false, 1), 0, 1, n=true + false),
            self._one("privacy", source, "members_before_decoys", found.before_decoys, n=n),
            self._one("privacy", source, "members_adaptive", true, n=n),
            self._one("privacy", source, "decoys_adaptive", false, n=len(members) - n),
            self._one("privacy", source, "excess_adaptive", true - false, true - false - 6, true - false + 6, n=n),
        ]
        if math.isfinite(found.threshold):
            rows.append(self._one("privacy", source, "threshold_at_fdr", found.threshold, level=FDR))
        return rows


def _captions(count: int) -> np.ndarray:
    """A caption for each pool image, as the pool's file holds them; some are hostile."""
    texts = [f'a <b>digit</b> & "no" {number}</section><script>alert(1)</script>\0' for number in range(count)]
    return np.frombuffer("".join(texts).encode(), np.uint8)


def _generate(
    images: np.ndarray, members: np.ndarray, copied: int, samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Noisy copies of `copied` members, some often and some once, and mixtures of pool images for the rest."""
    flat = images.astype(float)
    out = np.asarray(flat[rng.integers(len(images), size=(4, samples))].mean(axis=0))
    if copied:
        chosen = rng.permutation(np.flatnonzero(members))[:copied]
        often = rng.permutation(samples)[: samples // 3]
        weights = 1.0 / np.arange(1, copied + 1)
        who = np.concatenate([chosen, rng.choice(chosen, len(often) - copied, p=weights / weights.sum())])
        out[often] = flat[who]
    return np.clip(out + rng.normal(scale=8, size=out.shape), 0, 255).round().astype(np.uint8)


def _extraction(images: np.ndarray, generated: np.ndarray, n: int = 10) -> dict[str, np.ndarray]:
    """The arrays of the extraction attack, the slow obvious way."""
    a, b = (x.reshape(len(x), -1).astype(float) / 255 for x in (generated, images))
    squared = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T
    distance = np.sqrt(np.maximum(squared, 0) / a.shape[1])
    nearest = np.argsort(distance, axis=1, kind="stable")[:, :n]
    kept = np.take_along_axis(distance, nearest, axis=1)
    adaptive = distance / (0.5 * kept.mean(axis=1, keepdims=True))
    return {
        "neighbours": nearest.astype(np.int32),
        "neighbour_scores": np.take_along_axis(adaptive, nearest, axis=1).astype(np.float32),
        "score": -adaptive.astype(np.float32).min(axis=0).astype(np.float64),
        "nearest_sample": adaptive.argmin(axis=0),
    }


def _over_splits(rows: list[Row]) -> list[Row]:
    """The rows over splits: the mean, and the hull of the splits' intervals."""
    groups: dict[tuple[str, str, float | None], list[Row]] = {}
    for row in rows:
        if row.metric != "left_out":
            groups.setdefault((row.source, row.metric, row.level), []).append(row)
    merged = []
    for group in groups.values():
        value, low, high = (
            float(f([getattr(r, key) for r in group]))
            for key, f in (("value", np.mean), ("ci_low", np.min), ("ci_high", np.max))
        )
        n = sum(row.n for row in group)
        merged.append(replace(group[0], cell="", split=ALL, value=value, ci_low=low, ci_high=high, n=n))
    return merged


def _ends_of_the_scale(protocol: Settings) -> list[Row]:
    return [
        Row(run=protocol.name, cell="", dataset="digits", model="unet", defense=defense, params="", split=ALL,
            kind="utility", source="fid", metric=f"fid_{protocol.features}", value=fid, ci_low=fid * 0.9,
            ci_high=fid * 1.1, ci_method="jackknife", n=protocol.samples)
        for defense, fid in ((HELD_OUT, 4.0), (NOISE, 520.0))
    ]  # fmt: skip


def _info(protocol: Settings, strengths: Sequence[Strength], cells: list[dict[str, str]]) -> dict[str, Any]:
    """`run.json`, with the keys that a real run writes."""

    def claim(strength: Strength) -> dict[str, Any] | None:
        if strength.epsilon is None:
            return None
        return {"epsilon": strength.epsilon, "delta": 1e-5, "accountant": "PRV", "unit": "training image"}

    return {
        "name": protocol.name,
        "title": protocol.title,
        "suite": protocol.suite,
        "attacks": list(protocol.attacks),
        "attack_facts": {
            label: {**dict(zip(("attack", "access", "shadows", "extracts"), FACTS[label], strict=True)),
                    "note": protocol.left_out.get(label, "")}
            for label in protocol.attacks if label in FACTS
        },
        "attack_notes": [f"attack {label}: {reason}" for label, reason in protocol.left_out.items()],
        "in_front": list(protocol.in_front),
        "config": {
            "name": protocol.name,
            "data": {"dataset": "digits", "pool": protocol.pool, "reference": None},
            "defenses": [{"name": s.defense} for s in strengths],
            "statistics": {"audit_delta": 1e-5},
            "execution": {"threads": 1, "device": "cpu"},
        },
        "seed": 0,
        "splits": protocol.splits,
        "threads": 1,
        "workers": 2,
        "pool": "pool/pool.safetensors",
        "dataset": {"name": "digits", "checksum": "sha256:abc", "pool": protocol.pool, "coin": 0.5,
                    "planted_groups": 8, "copies": 16, "reference": 600, "extractor": 500},
        "samples_per_model": protocol.samples,
        "features": protocol.features,
        "metric_facts": {
            f"{metric}_{protocol.features}": {"metric": metric, "params": {}, "features": protocol.features}
            for metric in ("fid", "kid")
        },
        "model": "unet",
        "cells": cells,
        "guarantees": {s.label: claim(s) for s in strengths},
        "covers": {s.label: _covers(s) for s in strengths},
        "acts_on": {s.label: ["sampling" if s.past is not None else "training"] for s in strengths},
        "stops_short_of": {s.label: s.whole for s in strengths if s.whole is not None},
        "diverged": [f"{i:02d}-split{split}" for i, s in enumerate(strengths) for split in s.diverged],
        "failed": {},
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
        "git": {"commit": "0" * 40, "dirty": True},
        "machine": {"cpu": "a processor", "cores": 2, "memory_gib": 8},
    }  # fmt: skip


def _covers(strength: Strength) -> str:
    if strength.defense == "none":
        return "–"
    return "samples as served; nothing with the weights" if strength.past is not None else "samples, loss, gradients"


def _write(path: Path, **arrays: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, path)
