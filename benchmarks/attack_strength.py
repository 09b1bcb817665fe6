"""Every membership attack of Leakfront against its official formula, on models that overfit.

A suite that is weaker than the best known attack flatters every defense. A small benchmark on digits (about 100 members
of 200 pool images, one defense, "none") is run by Leakfront, and the scores of ours are those that the run stores. The
same trained models and the same images go to the official attacks in benchmarks/official_attacks/. All splits count,
each with the others as its shadow models.

In a line of the table, "ours" is the attack of the same name, and "strongest" the form of it with the highest AUC here.
The difference is ours less official in AUC, with a paired bootstrap interval over images. "weaker" and "stronger" mean
that the interval excludes 0.

Run: python -m benchmarks.attack_strength [--suite v1] [--out strength.json] [--steps 700] [--splits 4]
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.official_attacks import (
    cdi,
    gsa,
    lira,
    loss,
    pfami,
    pia,
    pian,
    quantile,
    rediffuse,
    rediffuse_nns,
    secmi,
    secmi_nns,
    sima,
    trajectory,
)
from benchmarks.official_attacks.model import Model, Shadow
from benchmarks.overfitted_models import Split, settings, trained
from benchmarks.paired_auc import Difference, difference
from leakfront.attacks.suites import SUITES
from leakfront.results.statistics.roc import auc, tpr_at_fpr

# the official attacks by the label of ours with the same formula
OFFICIAL: dict[str, Callable[[Model, Sequence[Shadow]], np.ndarray]] = {
    "loss": loss.score,
    "lira_online": lira.online,
    "lira_offline": lira.offline,
    "lira_strong": lira.strong,
    "quantile": quantile.score,
    "secmi": secmi.score,
    "secmi_learned": secmi_nns.score,
    "pia": pia.score,
    "pian": pian.score,
    "sima": sima.score,
    "pfami": pfami.score,
    "rediffuse": rediffuse.score,
    "rediffuse_nns": rediffuse_nns.score,
    "dataset_inference": cdi.score,
    "gsa1": gsa.first,
    "gsa2": gsa.second,
    "trajectory": trajectory.score,
}
# where the label of an official attack is none of ours: the family in which ours is sought, and ours
FAMILY = {"lira_online": "lira", "lira_offline": "lira", "lira_strong": "lira", "rediffuse_nns": "rediffuse"}
OURS = {"rediffuse_nns": "rediffuse", "pfami": "pfami_calibrated"}  # PFAMI subtracts the shadows' mean by default
NEWEST = [name for name in SUITES if not name.startswith(("quick", "t2i"))][-1]


def main() -> None:
    """Run the benchmark, print the table, and write the results as JSON."""
    parser = options(__doc__, steps=700)
    parser.add_argument("--suite", default=NEWEST, choices=[*SUITES], help=f"whose settings ours have ({NEWEST})")
    given = parser.parse_args()
    found = measure(given.suite, given.steps, given.splits, given.seed, given.run)
    print(as_markdown(found))
    if given.out:
        given.out.write_text(json.dumps(found, indent=2) + "\n")


def options(doc: str | None, steps: int) -> argparse.ArgumentParser:
    """The command line of a benchmark of strength. steps: the default of its training."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="a JSON file for the results")
    parser.add_argument("--steps", type=int, default=steps, help=f"training steps ({steps})")
    parser.add_argument("--splits", type=int, default=4, help="models to train; all others are a model's shadows (4)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=Path, help="keep Leakfront's run in this folder, and continue one that is there")
    return parser


def measure(suite: str, steps: int, splits: int, seed: int, folder: Path | None = None) -> dict[str, Any]:
    """All results as JSON holds them. folder: that of Leakfront's run, by default a temporary one."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        done = trained(settings(suite, steps, splits, seed), folder or Path(temporary))
        rows = [line(name, done, seed) for name in OFFICIAL]
    members = [split.members for split in done]
    others = {label for row in rows for label in row["forms"]}
    alone = {label: mean_auc([s.ours[label] for s in done], members) for label in done[0].ours if label not in others}
    conditions = {
        "images": len(members[0]), "members": [int(coins.sum()) for coins in members], "steps": steps, "seed": seed,
        "splits": splits, "suite": suite, "seconds": round(time.monotonic() - began),
    }  # fmt: skip
    return {"conditions": conditions, "attacks": rows, "without an official counterpart": alone}


def line(name: str, splits: Sequence[Split], seed: int) -> dict[str, Any]:
    """One official attack on all splits, and ours against it."""
    began = time.monotonic()
    with torch.no_grad():
        theirs = [OFFICIAL[name](split.model, shadows_of(split, splits)) for split in splits]
    seconds = time.monotonic() - began
    members = [split.members for split in splits]
    forms = {label: [split.ours[label] for split in splits] for label in forms_of(name, splits[0].ours)}
    aucs = {label: mean_auc(scores, members) for label, scores in forms.items()}
    same, best = OURS.get(name, name), max(aucs, key=lambda label: aucs[label], default=None)
    row = {"official": name, **quality(theirs, members), "seconds": round(seconds, 1), "forms": aucs}
    for key, label in (("ours", same), ("strongest", best)):
        if label in forms:
            gap: Difference = difference(forms[label], theirs, members, seed)
            compared = {"label": label, **quality(forms[label], members), **gap._asdict(), "verdict": gap.verdict}
            row[key] = compared
    return row


def shadows_of(split: Split, splits: Sequence[Split]) -> list[Shadow]:
    """All other splits, with their coins."""
    return [Shadow(other.model, other.members) for other in splits if other is not split]


def forms_of(name: str, labels: Mapping[str, Any]) -> list[str]:
    """The labels of ours that are forms of an official attack: its family's name, alone or before a "_".

    A label belongs to the longest family name that it begins with, so "secmi_learned" is no form of "secmi".
    """
    families = {FAMILY.get(official, official) for official in OFFICIAL}

    def family(label: str) -> str:
        return max((f for f in families if f"{label}_".startswith(f"{f}_")), key=len, default="")

    return [label for label in labels if family(label) == FAMILY.get(name, name)]


def mean_auc(scores: Sequence[np.ndarray], members: Sequence[np.ndarray]) -> float:
    """The mean AUC over splits."""
    return float(np.mean([auc(s, m) for s, m in zip(scores, members, strict=True)]))


def quality(scores: Sequence[np.ndarray], members: Sequence[np.ndarray]) -> dict[str, float]:
    """Mean AUC and mean TPR at 1% FPR over splits; with fewer than 100 decoys, at 1 false positive."""
    tprs = [tpr_at_fpr(s, m, max(0.01, 1 / (~m).sum())) for s, m in zip(scores, members, strict=True)]
    return {"auc": mean_auc(scores, members), "tpr": float(np.mean([tpr for tpr, _ in tprs]))}


def as_markdown(found: Mapping[str, Any]) -> str:
    """The conditions, the table, and ours without an official counterpart."""
    at = found["conditions"]
    members = f"{min(at['members'])} to {max(at['members'])}"
    lines = [
        f"{at['images']} images of digits, {members} of them members; {at['splits']} models, {at['steps']} training "
        f"steps each, seed {at['seed']}; suite {at['suite']}.",
        "",
        "| attack | official | ours | difference in AUC | our strongest form | difference in AUC |",
        "|---|---|---|---|---|---|",
    ]
    for row in found["attacks"]:
        ours, best = row.get("ours"), row.get("strongest")
        same = ours is not None and best is not None and ours["label"] == best["label"]
        strongest = ["the same", ""] if same else _compared(best, True)
        cells = [row["official"], auc_and_tpr(row), *_compared(ours), *strongest]
        lines.append("| " + " | ".join(cells) + " |")
    alone = found["without an official counterpart"]
    if alone:
        lines += ["", "Without an official counterpart, AUC: " + ", ".join(f"{k} {v:.3f}" for k, v in alone.items())]
    return "\n".join(lines)


def auc_and_tpr(scores: Mapping[str, Any]) -> str:
    """AUC and TPR at 1% FPR."""
    return f"{scores['auc']:.3f}, {scores['tpr']:.3f}"


def _compared(ours: Mapping[str, Any] | None, named: bool = False) -> list[str]:
    if ours is None:
        return ["–", "–"]
    gap = in_words(ours["value"], ours["low"], ours["high"], ours["verdict"])
    return [f"{ours['label']}: {auc_and_tpr(ours)}" if named else auc_and_tpr(ours), gap]


def in_words(value: float, low: float, high: float, verdict: str) -> str:
    """A difference of AUCs with its interval and what follows."""
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}] {verdict}".replace("-", "−")


if __name__ == "__main__":
    main()
