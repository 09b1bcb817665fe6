"""A model that is saved and loaded again, for the contracts of models."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from leakfront.models import ModelFamily
from leakfront.testing.plugin import calling, require

PICKLED = ("*.bin", "*.pkl", "*.pickle", "*.pt", "*.pth", "*.ckpt")


def loaded_again(family: ModelFamily, model: Any, who: str) -> Any:
    """What `family.load` makes of what `model.save` wrote, in evaluation mode; its files must not be pickles."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        with calling(f"{who}: save"):
            model.save(folder)
        pickled = [path.name for pattern in PICKLED for path in folder.rglob(pattern)]
        require(not pickled, f"{who} must be saved as safetensors and JSON, not as {', '.join(pickled)}")
        with calling(f"{who}: load"):
            again: Any = family.load(folder)
    if again.network is not None:
        again.network.eval()
    return again
