"""The config of `leakfront attack`: an external model, images it was trained on, and images it never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from leakfront.datasets import user_path
from leakfront.datasets.folder import class_folders
from leakfront.datasets.members_decoys import MembersDecoys
from leakfront.harness.settings.file import overridden
from leakfront.harness.settings.sections import Config
from leakfront.models.external.name import model_name


def external_config(
    pipeline: str, members: str, decoys: str, reference: str | None, suite: str, overrides: tuple[str, ...]
) -> Config:
    """The config of an attack on the model in `pipeline`, changed by `overrides` ("dotted.key=value").

    Without reference images there is no FID, and the features are `pixels`. With reference images the features are
    `embedded` (fitted on a third of them) if they have classes, else `inception`. Raises `InputError`.
    """
    places = {"members": members, "decoys": decoys} | ({"reference": reference} if reference else {})
    features = "pixels"
    if reference is not None:
        features = "embedded" if len(class_folders(user_path(reference))) > 1 else "inception"
    settings: dict[str, Any] = {
        "name": f"attack-{model_name(Path(pipeline))}",
        "title": f"Attacks on an external model: {model_name(Path(pipeline))}",
        "splits": 1,
        "suite": suite,
        "data": {"dataset": "members_decoys", "params": places, "pool": MembersDecoys(members, decoys).count()},
        "model": {"name": "pipeline", "path": pipeline},
        "metrics": {"features": features, **({} if reference else {"names": []})},
    }
    return overridden(settings, overrides)
