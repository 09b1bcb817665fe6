"""Names that earlier versions wrote into results.csv and run.json, translated to those of today."""

from __future__ import annotations

import re
from typing import Any

_NUMBER = r"[0-9][0-9.e+-]*"
_RATE = re.compile(
    r"(tpr_at_fpr|(?:planted_|unique_|)extracted_at_fdr|decoys_matched_at_fdr|threshold_at_fdr)"
    rf"_({_NUMBER})(_with_weights|)"
)
_SIZE = re.compile(rf"(set_(?:p_value|detected)_(?:members|decoys))_({_NUMBER})()")


def metric_and_level(old: str) -> tuple[str, float | None]:
    """A metric whose level stood in its name, as name and level: "extracted_at_fdr_0.05_with_weights" is
    ("extracted_at_fdr_with_weights", 0.05). Other names stay as they are, with None."""
    found = _RATE.fullmatch(old) or _SIZE.fullmatch(old)
    return (found[1] + found[3], float(found[2])) if found else (old, None)


def translated(info: dict[str, Any]) -> dict[str, Any]:
    """run.json with the keys and words of today.

    `given_model` is `external_model`; membership "given" is "known"; the note on an attack stands with its facts, where
    it was a line "attack NAME: note" in a list.
    """
    info = {"external_model" if key == "given_model" else key: value for key, value in info.items()}
    if info.get("dataset", {}).get("membership") == "given":
        info["dataset"] = {**info["dataset"], "membership": "known"}
    for attack in info.get("attacks", []):
        start, facts = f"attack {attack}: ", info.setdefault("attack_facts", {}).setdefault(attack, {})
        notes = [str(note) for note in info.get("attack_notes", [])]
        facts.setdefault("note", "; ".join(note.removeprefix(start) for note in notes if note.startswith(start)))
    return info
