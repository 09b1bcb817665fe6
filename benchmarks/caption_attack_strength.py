"""Every attack on captions of Leakfront against its official formula, on small text models that know planted pairs.

As in benchmarks/attack_strength.py: the models are trained and attacked by Leakfront, and the same models and pairs go
to the official attacks in benchmarks/official_attacks/. Of 200 pairs, half are planted 12 times each. Attacks that look
at captions alone are compared on these, CLiD on all pairs. Its official form learns from one other model, ours of all.

Run: python -m benchmarks.caption_attack_strength [--out strength.json] [--steps 600] [--splits 4] [--run FOLDER]
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.attack_strength import auc_and_tpr, in_words, options, quality
from benchmarks.official_attacks import clid
from benchmarks.official_attacks.captions import OFFICIAL, TextModel
from benchmarks.overfitted_models import finished
from benchmarks.paired_auc import difference
from leakfront.attacks.suites import SUITES
from leakfront.harness.stages.attack import load_scores
from leakfront.harness.stages.prepare import load_members
from leakfront.harness.stages.train import load_model
from leakfront.harness.training.loop import to_unit_range
from leakfront.models import DiffusionModel

SUITE, PLANTED = "t2i-v1", {"groups": 100, "copies": 12}
OURS = [*clid.JUDGES, *OFFICIAL]  # the labels in the suite


def main() -> None:
    """Run the benchmark, print the table, and write the results as JSON."""
    given = options(__doc__, steps=600).parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        found = measure(settings(given.steps, given.splits, given.seed), given.run or Path(temporary), given.seed)
    found["conditions"] = {key: vars(given)[key] for key in ("steps", "splits", "seed")} | {"suite": SUITE}
    found["conditions"]["seconds"] = round(time.monotonic() - began)
    print(as_markdown(found))
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n")


def settings(steps: int, splits: int, seed: int) -> dict[str, Any]:
    """The settings of Leakfront's run."""
    return {
        "name": "caption_attack_strength",
        "seed": seed,
        "splits": splits,
        "data": {"dataset": "captioned_digits", "pool": 200, "reference": 256, "duplicates": PLANTED},
        "model": {"name": "text_to_image", "channels": [16, 32]},
        "training": {"steps": steps, "batch_size": 64, "learning_rate": 3e-3, "ema_decay": 0.98},
        "sampling": {"images": 80, "steps": 2},
        "metrics": {"names": ["kid"], "features": "digits_frozen"},
        "statistics": {"audit_guesses": 20},
        "attacks": {label: SUITES[SUITE][label] for label in OURS},
    }


def measure(config: dict[str, Any], folder: Path, seed: int) -> dict[str, Any]:
    """A row for each official attack: AUC and TPR at 1% FPR of it and of ours, and the difference of the AUCs."""
    plan, pool, layout = finished(config, folder)
    members = [load_members(cell, layout) for cell in plan.cells]
    models = [
        as_official(load_model(plan, cell, layout), to_unit_range(pool.images), pool.captions or (), seed)
        for cell in plan.cells
    ]
    ours = {label: [load_scores(label, cell, layout)["score"] for cell in plan.cells] for label in OURS}
    everything, planted = np.ones(len(pool), bool), pool.copies > 1
    with torch.no_grad():
        numbers = [clid.measured(model) for model in models]
        alone = {label: [formula(model) for model in models] for label, formula in OFFICIAL.items()}
    learned = {label: clid.scores(numbers, members, judge) for label, judge in clid.JUDGES.items()}
    rows = [compared(label, theirs, ours[label], members, everything, seed) for label, theirs in learned.items()]
    return {
        "attacks": [
            *rows, *(compared(label, theirs, ours[label], members, planted, seed) for label, theirs in alone.items())
        ]
    }  # fmt: skip


def as_markdown(found: Mapping[str, Any]) -> str:
    """The conditions, and a line for each official attack: AUC and TPR at 1% FPR, and the difference of the AUCs."""
    at = found["conditions"]
    lines = [
        f"{at['splits']} text models, {at['steps']} training steps each, seed {at['seed']}; suite {at['suite']}.",
        "",
        "| attack | pairs | official | ours | difference in AUC |",
        "|---|---:|---|---|---|",
    ]
    for row in found["attacks"]:
        both = f"{auc_and_tpr(row['official'])} | {auc_and_tpr(row['ours'])}"
        gap = in_words(row["difference"], row["low"], row["high"], row["verdict"])
        lines.append(f"| {row['label']} | {row['pairs']} | {both} | {gap} |")
    return "\n".join(lines)


def compared(
    label: str, theirs: Sequence[np.ndarray], ours: Sequence[np.ndarray], members: Sequence[np.ndarray],
    among: np.ndarray, seed: int,
) -> dict[str, Any]:  # fmt: skip
    """The official scores of all models, and ours against them, among some of the pairs, bool [P]."""
    official, mine, coins = ([one[among] for one in scores] for scores in (theirs, ours, members))
    gap = difference(mine, official, coins, seed)
    return {
        "label": label, "pairs": int(among.sum()), "official": quality(official, coins), "ours": quality(mine, coins),
        "difference": gap.value, "low": gap.low, "high": gap.high, "verdict": gap.verdict,
    }  # fmt: skip


def as_official(model: DiffusionModel, images: torch.Tensor, captions: Sequence[str], seed: int) -> TextModel:
    """A text model of Leakfront in front of pairs, as the official attacks see it."""

    def eps(x_t: torch.Tensor, t: int, texts: Sequence[str]) -> torch.Tensor:
        given = model.conditions(torch.zeros(len(x_t), dtype=torch.long), texts)
        return model.predict_noise(x_t, torch.full((len(x_t),), t), given)

    return TextModel(eps, images, tuple(captions), model.alphas_cumprod, seed)


if __name__ == "__main__":
    main()
