"""What captions give away over several seeds: members' and decoys' own images, undefended and under dedup.

The models, pairs and attack are those of the bundled benchmark `captions`, one split for each seed, so without shadow
models. Members and decoys are asked alike; decoys' counts are chance. The seeds are not those on which the settings
were chosen.

Run: python -m benchmarks.planted_captions [--seeds 101 102 103 104 105] [--out planted.json] [--run FOLDER]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.overfitted_models import finished
from leakfront.harness.settings.file import read_settings
from leakfront.harness.stages.attack import load_scores
from leakfront.harness.stages.prepare import load_members
from leakfront.results.statistics.counts import clopper_pearson, extracted_at_fdr

ATTACK, DEFENSES = "generate_by_prompt", ("none", "dedup")
SIDES = ("planted members", "planted decoys", "members once", "decoys once")


def main() -> None:
    """Run the benchmark, print its tables in Markdown, and write the counts as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103, 104, 105])
    parser.add_argument("--out", type=Path, help="write the results to this JSON file")
    parser.add_argument("--run", type=Path, help="keep the runs in this folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        models = [model for seed in given.seeds for model in measure(seed, given.run or Path(temporary))]
    print(as_markdown(models))
    if given.out:
        given.out.write_text(json.dumps(models, indent=2) + "\n")


def settings(seed: int) -> dict[str, Any]:
    """The settings of `captions`, with one attack, two defenses and one split."""
    config = read_settings("captions")
    return {
        **config,
        "name": f"planted_captions_{seed}",
        "seed": seed,
        "splits": 1,
        "sampling": {**config["sampling"], "images": 80},
        "metrics": {"names": ["kid"], "features": "digits_frozen"},
        "statistics": {"audit_guesses": 20},
        "attacks": {ATTACK: config["attacks"][ATTACK]},
        "defenses": [entry for entry in config["defenses"] if entry["name"] in DEFENSES],
    }


def measure(seed: int, folder: Path) -> list[dict[str, Any]]:
    """Counts for the model of each defense: how many captions were asked, were flagged, and gave their own image."""
    plan, pool, layout = finished(settings(seed), folder / str(seed))
    found = []
    for cell in plan.cells:
        members, scores = load_members(cell, layout), load_scores(ATTACK, cell, layout)
        asked, planted = scores["asked"].astype(bool), pool.copies > 1
        sides = (members & planted, ~members & planted, members & ~planted, ~members & ~planted)
        ranked = extracted_at_fdr(scores.get("extraction", scores["score"]), members)
        found.append({
            "seed": seed,
            "defense": cell.point.line,
            "asked": _counts(sides, asked),
            "flagged": _counts(sides, scores["matched_flagged"]),
            "own image": _counts(sides, scores["matched_extracted"]),
            "members before any decoy": ranked.before_decoys,
            "at 5% FDR": ranked.count,
        })  # fmt: skip
    return found


def _counts(sides: tuple[np.ndarray, ...], mask: np.ndarray) -> dict[str, int]:
    return {name: int((side & mask).sum()) for name, side in zip(SIDES, sides, strict=True)}


def as_markdown(models: list[dict[str, Any]]) -> str:
    """A line for each seed and defense, and the counts of all seeds together with exact 95% intervals."""
    lines = [
        f"| defense | seed | {' | '.join(SIDES)} | flagged decoys | before any decoy | at 5% FDR |",
        f"|---|---{'|---:' * (len(SIDES) + 3)}|",
    ]
    for defense in DEFENSES:
        of_defense = [model for model in models if model["defense"] == defense]
        for model in of_defense:
            shown = [f"{model['own image'][side]} of {model['asked'][side]}" for side in SIDES]
            flagged = sum(model["flagged"][side] for side in SIDES if "decoys" in side)
            last = f"{flagged} | {model['members before any decoy']} | {model['at 5% FDR']}"
            lines.append(f"| `{defense}` | {model['seed']} | {' | '.join(shown)} | {last} |")
        pooled = [_pooled(of_defense, side) for side in SIDES]
        lines.append(f"| `{defense}` | all | {' | '.join(pooled)} | | | |")
    return "\n".join(lines)


def _pooled(models: list[dict[str, Any]], side: str) -> str:
    shown, asked = (sum(model[what][side] for model in models) for what in ("own image", "asked"))
    low, high = clopper_pearson(shown, asked)
    return f"{shown} of {asked}: {shown / asked:.1%} [{low:.1%}, {high:.1%}]" if asked else "0 of 0"


if __name__ == "__main__":
    main()
