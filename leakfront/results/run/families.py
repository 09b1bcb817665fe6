"""The groups in which figures and tables show many attacks: by the access that an attack needs to the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MANY = 6  # more attacks than this are shown in groups
CONTROL = "control"

# family -> its description where there is room
FAMILIES = {
    "samples": "samples of the model",
    "loss": "loss, nothing fitted",
    "fitted": "loss, fitted on shadow models",
    "gradients": "gradients",
    "other": "other attacks",
    CONTROL: "control, which never queries the model",
}
NOTE = (
    "samples: uses generated images; loss: uses the loss, with nothing fitted; fitted: uses the loss, fitted on shadow "
    "models; gradients: uses gradients; control: does not use the model"
)


def family(facts: Mapping[str, Any]) -> str:
    """The family of an attack, by its access and its use of shadow models (its entry of `attack_facts` in run.json)."""
    access = facts.get("access")
    if access == "none":
        return CONTROL
    if access == "samples" or facts.get("extracts"):
        return "samples"
    if access == "loss":
        return "fitted" if facts.get("shadows") == "fit" else "loss"
    return "gradients" if access == "gradients" else "other"
