"""The groups in which figures and tables show many attacks: by what an attack needs of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MANY = 6  # more attacks than this are shown in groups
CONTROL = "control"

# family -> what is said of it where there is room
FAMILIES = {
    "samples": "samples of the model",
    "loss": "loss, nothing fitted",
    "fitted": "loss, fitted on shadow models",
    "gradients": "gradients",
    "other": "other attacks",
    CONTROL: "control, which never asks the model",
}
NOTE = "; ".join(
    (
        "samples: from what the model generates",
        "loss: from its loss, with nothing fitted",
        "fitted: from its loss, fitted on shadow models",
        "gradients: from its gradients",
        "control: without the model",
    )
)


def family(facts: Mapping[str, Any]) -> str:
    """The family of an attack, by its entry of `attack_facts` in run.json: its access and what shadows are for."""
    access = facts.get("access")
    if access == "none":
        return CONTROL
    if access == "samples" or facts.get("extracts"):
        return "samples"
    if access == "loss":
        return "fitted" if facts.get("shadows") == "fit" else "loss"
    return "gradients" if access == "gradients" else "other"
