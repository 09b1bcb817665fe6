"""The contract of a data set, checked by loading it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np

from leakfront.datasets import DECOY, MEMBER, OUTSIDE, Dataset, LabelledImages
from leakfront.testing.plugin import calling, check_line, check_plugin, named, require, same_arrays


def check_dataset(dataset: type[Dataset] | Dataset) -> None:
    """Raise `AssertionError` unless a data set keeps to the contract of `leakfront.datasets.Dataset`.

    dataset: a class whose parameters have defaults, or an instance; its files must be there.

    It checks the shapes, types and ranges of images, labels, classes, captions, notes and file facts, and that two
    loads are equal. If the data set states who the members are, it checks the roles, and that `count` knows their
    number beforehand. The fingerprint must be the same each time and fit into JSON.
    """
    dataset = check_plugin(dataset, Dataset, "data set", defaults=False)
    who = named(dataset, "data set")
    fields = {field.name for field in dataclasses.fields(dataset)}  # type: ignore[arg-type]
    require(set(dataset.places) <= fields, f"the places of {who} must be names of its parameters")
    with calling(f"{who}: load"):
        data, again = dataset.load(), dataset.load()
    require(isinstance(data, LabelledImages), f"load of {who} must return LabelledImages")
    _check_images(data, who)
    has = f"has_captions of {who} is {dataset.has_captions}; it must be {data.captions is not None}"
    require(dataset.has_captions == (data.captions is not None), has)
    same = same_arrays(data.images, again.images) and same_arrays(data.labels, again.labels)
    same = same and data.captions == again.captions
    require(same, f"{who} must load the same images and labels in the same order each time")
    _check_roles(dataset, data, who)
    with calling(f"{who}: fingerprint"):
        first, second = json.dumps(dataset.fingerprint()), json.dumps(dataset.fingerprint())
    require(first == second, f"the fingerprint of {who} must be the same each time")


def _check_images(data: LabelledImages, who: str) -> None:
    images, labels = data.images, data.labels
    shape = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4
    require(shape, f"the images of {who} must be uint8 [N, C, H, W]")
    require(len(images) and images.shape[1] in (1, 3), f"{who} must have at least one image, of 1 or 3 channels; its "
            f"shape is {images.shape}")  # fmt: skip
    fits = isinstance(labels, np.ndarray) and labels.dtype == np.int64 and labels.shape == (len(images),)
    require(fits, f"the labels of {who} must be int64 [N], one for each image")
    names = isinstance(data.classes, tuple) and data.classes and all(isinstance(name, str) for name in data.classes)
    require(names and len(set(data.classes)) == len(data.classes), f"the classes of {who} must be different texts")
    within = labels.min() >= 0 and labels.max() < len(data.classes)
    require(within, f"the labels of {who} must lie in 0 … {len(data.classes) - 1}, one for each class")
    notes = isinstance(data.notes, tuple) and all(isinstance(note, str) for note in data.notes)
    require(notes, f"the notes of {who} must be a tuple of texts")
    facts = data.files is None or len(data.files.names) == len(data.files.words) == len(data.files.numbers) == len(data)
    require(facts, f"the file facts of {who} must be those of each image, or None")
    captions = data.captions
    one_each = captions is None or (isinstance(captions, tuple) and len(captions) == len(images))
    require(one_each, f"the captions of {who} must be a tuple of N texts, one for each image, or None")
    for caption in captions or ():
        check_line(caption, f"each caption of {who}")
    require(isinstance(data.skipped, int) and data.skipped >= 0, f"skipped of {who} must be a number of files")


def _check_roles(dataset: Dataset, data: LabelledImages, who: str) -> None:
    roles = data.roles
    if not dataset.known_membership:
        require(roles is None, f"{who} has roles, so it must state known_membership = True")
        return
    fits = isinstance(roles, np.ndarray) and roles.dtype == np.int8 and roles.shape == data.labels.shape
    require(fits, f"the roles of {who} must be int8 [N], since it states known_membership")
    assert roles is not None
    require(set(np.unique(roles)) <= {MEMBER, DECOY, OUTSIDE}, f"the roles of {who} must be MEMBER, DECOY or OUTSIDE")
    require({MEMBER, DECOY} <= set(np.unique(roles)), f"{who} must have members and decoys")
    by_role = [{image.tobytes() for image in data.images[roles == role]} for role in (MEMBER, DECOY)]
    require(not by_role[0] & by_role[1], f"no image of {who} may be both a member and a decoy")
    with calling(f"{who}: count"):
        count = dataset.count()
    found = int((roles != OUTSIDE).sum())
    require(count == found, f"count of {who} is {count}, but it loads {found} members and decoys")
    outside = bool((roles == OUTSIDE).any())
    require(dataset.has_outside == outside, f"has_outside of {who} is {dataset.has_outside}; it must be {outside}")
