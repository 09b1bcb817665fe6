"""The pool of a data set that states who the members are; no coins are flipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from leakfront.datasets import MEMBER, OUTSIDE, LabelledImages
from leakfront.errors import InputError
from leakfront.harness.pool.pool import Pool, distinct_images
from leakfront.seeds import derive_seed


def build_known_pool(data: LabelledImages, reference: int | None, seed: int) -> Pool:
    """A pool of all distinct members and decoys of `data`, in an order that does not depend on their roles.

    reference: how many of the images that are neither go to the reference (None: two thirds); the rest go to the
    feature extractor. Raises `InputError` for fewer than 2 members or decoys, or too few images that are neither.
    """
    assert data.roles is not None
    first = distinct_images(data)
    order = [first[digest] for digest in sorted(first, key=lambda digest: (derive_seed("pool", seed, digest), digest))]
    inside = [index for index in order if data.roles[index] != OUTSIDE]
    outside = [index for index in order if data.roles[index] == OUTSIDE]
    membership = data.roles[inside] == MEMBER
    members, decoys = int(membership.sum()), int((~membership).sum())
    if min(members, decoys) < 2:
        raise InputError(f"there are {members} distinct members and {decoys} decoys; attacks need at least 2 of each")
    wanted = round(len(outside) * 2 / 3) if reference is None else reference
    if wanted > len(outside):
        raise InputError(f"reference = {wanted}, but {len(outside)} distinct images are neither member nor decoy")
    kept, rest = outside[:wanted], outside[wanted:]
    images, labels = data.images, data.labels.astype(np.int64)
    return Pool(
        images=images[inside],
        labels=labels[inside],
        copies=np.ones(len(inside), dtype=np.int64),
        variants=images[inside],
        variant_of=np.arange(len(inside)),
        reference_images=images[kept],
        reference_labels=labels[kept],
        extractor_images=images[rest],
        extractor_labels=labels[rest],
        classes=data.classes,
        duplicates_dropped=len(data) - len(first),
        skipped=data.skipped,
        membership=membership,
    )


def save_membership(pool: Pool, path: Path) -> None:
    """Write the membership to a file of its own, which the attack stage never reads."""
    assert pool.membership is not None
    save_file({"members": pool.membership}, path)


def load_membership(path: Path) -> np.ndarray:
    """The members, bool [P]. Raises `InputError` if `path` cannot be read."""
    try:
        return load_file(path)["members"].astype(bool)
    except (OSError, SafetensorError, LookupError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete its folder so that it is made again") from error
