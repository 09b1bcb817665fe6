"""A small benchmark: every part is real, and it takes seconds."""

from __future__ import annotations

import copy
from typing import Any

SETTINGS: dict[str, Any] = {
    "name": "small",
    "privacy_seed": 1,
    "splits": 2,
    "data": {"pool": 96, "reference": 200, "duplicates": {"groups": 8, "copies": 4}},
    "model": {"name": "unet", "channels": [8], "head_channels": 8},
    "training": {"steps": 12, "batch_size": 16, "checkpoint_seconds": 0.001},
    "sampling": {"images": 80, "steps": 3},
    "statistics": {"audit_guesses": 20},
    "metrics": {"features_params": {"steps": 5, "epochs": 1, "fits": 2}},
    "attacks": {"extraction": {"neighbours": 10}, "loss": {"timesteps": [50, 100], "draws": 2}, "secmi": {}},
}


FEATURES = "embedded-fits2-steps5-epochs1"  # what these features are called in rows


def small(**changes: Any) -> dict[str, Any]:
    """The settings, with changes given as `section__key=value`."""
    settings = copy.deepcopy(SETTINGS)
    for dotted, value in changes.items():
        *path, last = dotted.split("__")
        place = settings
        for part in path:
            place = place.setdefault(part, {})
        place[last] = value
    return settings


def write_toml(path: Any, settings: dict[str, Any]) -> str:
    import tomli_w

    path.write_text(tomli_w.dumps(settings))
    return str(path)
