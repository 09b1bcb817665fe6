"""The config of `leakfront attack` and `leakfront samples`: a model or generated images, members and decoys."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from leakfront import models
from leakfront.datasets.folder import ImageFolder
from leakfront.datasets.members_decoys import MembersDecoys
from leakfront.errors import InputError
from leakfront.harness.plan.external import NO_MODEL
from leakfront.harness.settings.external_text import text_settings, with_room
from leakfront.harness.settings.file import overridden
from leakfront.harness.settings.sections import Config, Metrics
from leakfront.models.external.name import model_name
from leakfront.models.external.text.folder import is_text_pipeline
from leakfront.registry import build
from leakfront.results import features
from leakfront.results.metrics import registry as metric_registry

METRICS = ("fid", "kid")  # with reference images, those of them that the numbers of images allow
SUITE_OF_IMAGES = "quick-v2"  # every suite has the extraction attack, which asks for samples alone
OF_IMAGES = (*METRICS, "precision", "recall", "density", "coverage")  # of generated images without a model


def external_config(
    model: str | Mapping[str, Any] | None,
    members: str,
    decoys: str,
    reference: str | None,
    suite: str,
    overrides: tuple[str, ...],
    generated: str | None = None,
) -> Config:
    """The config of an attack on a model, on generated images, or on both; changed by `overrides` ("key=value").

    model: the folder of a pipeline, the settings of another model, or None for generated images alone. generated: a
    folder of images to judge in place of samples of the model.

    Without reference images there is no FID, and the features are `pixels`. With reference images the features are
    `embedded` (fitted on a third of them) if they have classes; else `inception` if its weights are on this machine,
    and `pixels` if not. FID and KID, and of images alone also precision, recall, density and coverage, are measured if
    there are enough images. Raises `InputError`.
    """
    places = {"members": members, "decoys": decoys} | ({"reference": reference} if reference else {})
    dataset = MembersDecoys(members, decoys, reference or None)
    listed = dataset.found
    name, title = _names(model, generated)
    settings: dict[str, Any] = {
        "name": name,
        "title": title,
        "splits": 1,
        "suite": suite,
        "data": {
            "dataset": "members_decoys",
            "params": places,
            "pool": len(listed["members"]) + len(listed["decoys"]),
        },
        "model": _model(model),
        "metrics": {"features": _features(listed.get("reference", [])), "names": []},
    }
    if isinstance(model, str) and is_text_pipeline(Path(model).expanduser()):
        has_base = _sets("model.lora", overrides) or _sets("model.base", overrides)
        text = text_settings(model, dataset, _sets("data.params.captions_file", overrides), has_base)
        settings["data"]["params"] |= text.pop("data")
        settings |= text
    if generated is not None:
        settings["generated"] = generated
        settings.setdefault("sampling", {})["images"] = len(ImageFolder(generated).listing.files)
    if reference is None or _sets("metrics.names", overrides):
        if reference is not None:
            del settings["metrics"]["names"]
        return with_room(overridden(settings, overrides))
    config = overridden(copy.deepcopy(settings), overrides)
    names = METRICS if model is not None else OF_IMAGES
    needed = _needed(config.metrics, names)
    given = min(config.data.pool, _references(config, len(listed["reference"])))
    images = config.sampling.images
    if generated is None and not _sets("sampling.images", overrides) and needed["fid"] <= given:
        images = max(images, needed["fid"])
        settings.setdefault("sampling", {})["images"] = images
    settings["metrics"]["names"] = [name for name in names if needed[name] <= min(given, images)]
    return with_room(overridden(settings, overrides))


def _names(model: str | Mapping[str, Any] | None, generated: str | None) -> tuple[str, str]:
    """The name and the title of the run."""
    if model is None:
        if generated is None:
            raise InputError("there is nothing to attack: give a model, generated images, or both")
        name = model_name(Path(generated))
        return f"samples-{name}", f"Generated images without their model: {name}"
    if isinstance(model, str):
        name = model_name(Path(model))
    else:
        params = {key: value for key, value in model.items() if key != "name"}
        name = build(models.registry, model["name"], params, "model").label
    return f"attack-{name}", f"Attacks on an external model: {name}"


def _model(model: str | Mapping[str, Any] | None) -> dict[str, Any]:
    if model is None:
        return {"name": NO_MODEL}
    return {"name": "pipeline", "path": model} if isinstance(model, str) else dict(model)


def _features(reference: list[Path]) -> str:
    """The features for FID and KID against these images; `pixels` without any."""
    if len({file.parent for file in reference}) > 1:
        return "embedded"
    return "inception" if reference and features.registry.get("inception")().place().is_file() else "pixels"


def _needed(metrics: Metrics, names: Sequence[str]) -> dict[str, int]:
    """The fewest images of each kind that these metrics need on the chosen features."""
    extractor = build(features.registry, metrics.features, metrics.features_params, "metrics")
    return {name: metric_registry.get(name)().minimum(extractor.dimensions) for name in names}


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
