"""External models and known membership: the settings that a config may have, and the measurements that are left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from leakfront.datasets.folder import ImageFolder
from leakfront.datasets.members_decoys import MembersDecoys
from leakfront.errors import InputError
from leakfront.harness.plan.sweeps import DefensePoint
from leakfront.harness.settings.sections import Config

LABEL, LABEL_OF_IMAGES = "external model", "generated images"
NO_MODEL = "no_model"  # the family of runs that have generated images and no model
NO_AUDIT = "left out: membership is known, not drawn by coins, and the bound needs independent fair coins"
NO_OUTSIDE = "left out: it needs images that are neither member nor decoy, and there are none"
NO_QUERIES = "left out: it queries the model, and there are generated images alone"
NO_TEXT = "left out: it asks with captions, and this model is asked without any"
NO_NULL = "left out: it compares with the empty caption, and this model knows none"
NO_BASE = "left out: it compares with the model that this one was fine-tuned from, and that one is not given"
NO_DENOISER = "left out: it asks for noise predictions, and this model makes images in one call"
NO_DISCRIMINATOR = "left out: it asks a discriminator, and this model has none"
NO_FID = "left out: there are no images that are neither member nor decoy to compare with"

NO_CAPTIONS = (
    "captions: the images have none, so the model is asked with the empty caption, and what it knows of pairs is not "
    "tested; give them with --captions"
)
POOL_CAPTIONS = "samples: asked for by the captions of members and decoys in turn, since there are no other images"


def check_external(config: Config, model: Any, dataset: Any) -> None:
    """Raise `InputError` for settings that contradict an external model or known membership."""
    of_data, data = dataset.known_membership, config.data
    if model.external and not of_data:
        raise InputError(
            f"model.name = {config.model.get('name')!r} is an external model, so data.dataset must state who its "
            f"members are, as members_decoys does; {data.dataset!r} does not"
        )
    if not of_data:
        return
    what = f"data.dataset = {data.dataset!r} states who the members are"
    if config.splits != 1:
        raise InputError(f"{what}, so there is only one split; set splits = 1, not {config.splits}")
    if data.coin != 0.5:
        raise InputError(f"{what}, so no coins are flipped; leave out data.coin = {data.coin}")
    if data.duplicates.groups:
        raise InputError(f"{what}, so no duplicates can be planted; set data.duplicates.groups = 0")
    if data.pool != (count := dataset.count()):
        raise InputError(f"{what}, so its {count} members and decoys are the pool; set data.pool = {count}")
    if config.metrics.names and not dataset.has_outside:
        raise InputError(
            "metrics.names lists metrics, but there are no real images to compare with: give a folder of images that "
            "are neither member nor decoy as data.params.reference (--reference), or set metrics.names = []"
        )


def external_points(model: Any, points: Sequence[DefensePoint]) -> list[DefensePoint]:
    """The points of a run: one for an external model, whatever defenses it was trained with."""
    if not model.external:
        return list(points)
    if len(points) != 1 or points[0].line != "none":
        raise InputError("defenses cannot be applied to an external model; leave `defenses` out")
    return [replace(points[0], line=LABEL_OF_IMAGES if model.name == NO_MODEL else LABEL)]


def generated_images(config: Config, dataset: Any) -> ImageFolder | None:
    """The folder of generated images that a config names, read as the images of the data set are; None without one.

    Raises `InputError` for settings that contradict it.
    """
    if config.generated is None:
        if config.model.get("name") == NO_MODEL:
            raise InputError(
                f"model.name = {NO_MODEL!r} needs images to judge; give a folder of them as generated, or name a model"
            )
        return None
    if not isinstance(dataset, MembersDecoys):
        raise InputError(
            f"generated = {config.generated!r} is judged against known members and decoys, so data.dataset must be "
            f"members_decoys, not {config.data.dataset!r}"
        )
    shared = ("size", "mode", "skip_bad", "orientation", "window", "slice")
    return ImageFolder(config.generated, **{key: getattr(dataset, key) for key in shared})


def check_generated(config: Config, generated: ImageFolder | None) -> None:
    """Raise `InputError` unless the number of generated images is that of the config; the folder is listed for it."""
    if generated is not None and config.sampling.images != (count := len(generated.listing.files)):
        raise InputError(f"{generated.path} has {count} generated images; set sampling.images = {count}")


def caption_notes(model: Any, dataset: Any) -> list[str]:
    """A line on what an external text model is asked with, if that is not what the reader may expect."""
    if not (model.external and model.text):
        return []
    if not dataset.has_captions:
        return [NO_CAPTIONS]
    return [] if dataset.has_outside else [POOL_CAPTIONS]


def external_notes(dataset: Any, metrics: Sequence[Any], extractor: Any) -> list[str]:
    """A line for each measurement that known membership rules out, and for FID where it is not asked for."""
    if not dataset.known_membership:
        return []
    notes = [f"audit of epsilon: {NO_AUDIT}"]
    if not dataset.has_outside:
        notes.append(f"FID: {NO_FID}")
    elif "fid" not in {metric.name for metric in metrics}:
        notes.append(
            f"FID: not in metrics.names (on {extractor.label} features, metrics.features, it needs "
            f"{extractor.dimensions + 1:,} samples, members and decoys, and reference images)"
        )
    return notes
