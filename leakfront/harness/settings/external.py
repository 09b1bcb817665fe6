"""The config of `leakfront attack`: an external model, images it was trained on, and images it never saw."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from leakfront.datasets.members_decoys import MembersDecoys
from leakfront.harness.settings.file import overridden
from leakfront.harness.settings.sections import Config, Metrics
from leakfront.models.external.name import model_name
from leakfront.registry import build
from leakfront.results import features
from leakfront.results.metrics import registry as metric_registry

METRICS = ("fid", "kid")  # with reference images, those of them that the numbers of images allow


def external_config(
    pipeline: str, members: str, decoys: str, reference: str | None, suite: str, overrides: tuple[str, ...]
) -> Config:
    """The config of an attack on the model in `pipeline`, changed by `overrides` ("dotted.key=value").

    Without reference images there is no FID, and the features are `pixels`. With reference images the features are
    `embedded` (fitted on a third of them) if they have classes; else `inception` if its weights are on this machine,
    and `pixels` if not. FID and KID are measured if there are enough images. Raises `InputError`.
    """
    places = {"members": members, "decoys": decoys} | ({"reference": reference} if reference else {})
    dataset = MembersDecoys(members, decoys, reference or None)
    listed = dataset.found
    settings: dict[str, Any] = {
        "name": f"attack-{model_name(Path(pipeline))}",
        "title": f"Attacks on an external model: {model_name(Path(pipeline))}",
        "splits": 1,
        "suite": suite,
        "data": {
            "dataset": "members_decoys",
            "params": places,
            "pool": len(listed["members"]) + len(listed["decoys"]),
        },
        "model": {"name": "pipeline", "path": pipeline},
        "metrics": {"features": _features(listed.get("reference", [])), "names": []},
    }
    if reference is None or _sets("metrics.names", overrides):
        if reference is not None:
            del settings["metrics"]["names"]
        return overridden(settings, overrides)
    config = overridden(copy.deepcopy(settings), overrides)
    needed = _needed(config.metrics)
    given = min(config.data.pool, _references(config, len(listed["reference"])))
    images = config.sampling.images
    if not _sets("sampling.images", overrides) and needed["fid"] <= given:
        images = max(images, needed["fid"])
        settings["sampling"] = {"images": images}
    settings["metrics"]["names"] = [name for name in METRICS if needed[name] <= min(given, images)]
    return overridden(settings, overrides)


def _features(reference: list[Path]) -> str:
    """The features for FID and KID against these images; `pixels` without any."""
    if len({file.parent for file in reference}) > 1:
        return "embedded"
    return "inception" if reference and features.registry.get("inception")().place().is_file() else "pixels"


def _needed(metrics: Metrics) -> dict[str, int]:
    """The fewest images of each kind that FID and KID need on the chosen features."""
    extractor = build(features.registry, metrics.features, metrics.features_params, "metrics")
    return {name: metric_registry.get(name)().minimum(extractor.dimensions) for name in METRICS}


def _references(config: Config, files: int) -> int:
    """How many of these images become the reference."""
    if config.data.reference is not None:
        return config.data.reference
    fitted = features.registry.get(config.metrics.features).fitted  # type: ignore[attr-defined]
    return round(files * 2 / 3) if fitted else files


def _sets(key: str, overrides: tuple[str, ...]) -> bool:
    """Whether the overrides set a key, or its section."""
    named = {override.partition("=")[0].strip() for override in overrides}
    return bool({key, key.partition(".")[0]} & named)
