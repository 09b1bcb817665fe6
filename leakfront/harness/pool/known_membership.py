"""The pool of a data set that states who the members are; no coins are flipped."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from leakfront.datasets import MEMBER, OUTSIDE, LabelledImages
from leakfront.datasets.files.facts import FileFacts
from leakfront.datasets.files.listing import printable
from leakfront.errors import InputError
from leakfront.harness.pool.near_copies import NearCopies, near_copies
from leakfront.harness.pool.pool import Pool, distinct_images, numbered_subjects
from leakfront.seeds import derive_seed

NAMED = 3  # pairs of near copies in a sentence; the file near_copies.csv has all


def build_known_pool(data: LabelledImages, reference: int | None, seed: int, fitted: bool = True) -> Pool:
    """A pool of all distinct members and decoys of `data`, in an order that does not depend on their roles.

    reference: how many of the images that are neither go to the reference (None: two thirds, or all if no feature
    extractor is `fitted` on the rest). Near copies across the sides are named in the pool's notes. Raises `InputError`
    for fewer than 2 members or decoys, or too few images that are neither.
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
    wanted = (round(len(outside) * 2 / 3) if fitted else len(outside)) if reference is None else reference
    if wanted > len(outside):
        raise InputError(f"reference = {wanted}, but {len(outside)} distinct images are neither member nor decoy")
    kept, rest = outside[:wanted], outside[wanted:]
    images, labels = data.images, data.labels.astype(np.int64)
    near, files = near_copies(images[inside]), None if data.files is None else data.files.select(np.array(inside))
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
        notes=(*data.notes, *_across(near, membership, files)),
        membership=membership,
        files=files,
        near=near,
        captions=data.captions_at(inside),
        reference_captions=data.captions_at(kept),
        extractor_captions=data.captions_at(rest),
        **numbered_subjects(data, inside),
    )


def _across(near: NearCopies, members: np.ndarray, files: FileFacts | None) -> list[str]:
    """A sentence on the decoys that are near copies of members, with the names of the first pairs."""
    if not (pairs := near.across(members)):
        return []
    named = ""
    if files is not None:
        shown = ", ".join(f"decoys/{files.names[a]} of members/{files.names[b]}" for a, b in pairs[:NAMED])
        named = f" ({printable(shown)}{', …' if len(pairs) > NAMED else ''})"
    several = "is a near copy of a member" if len(pairs) == 1 else "are near copies of members"
    return [f"near copies: {len(pairs):,} of {int((~members).sum()):,} decoys {several}{named}"]


def save_membership(pool: Pool, path: Path) -> None:
    """Write the membership to a file of its own, which the attack stage never reads."""
    assert pool.membership is not None
    save_file({"members": pool.membership}, path)


def save_file_facts(pool: Pool, path: Path) -> None:
    """Write the facts of the images' files, if they have files, and near copies; nothing there tells members apart."""
    assert pool.near is not None
    facts = pool.files or FileFacts((), np.empty((0, 0)), ())
    facts.save(path, pairs=pool.near.pairs, distances=pool.near.distances, groups=pool.near.groups)


def load_file_facts(path: Path) -> tuple[FileFacts | None, NearCopies]:
    """Read what `save_file_facts` wrote. Raises `InputError` if `path` cannot be read."""
    try:
        facts, arrays = FileFacts.load(path)
        return facts if facts.names else None, NearCopies(**arrays)
    except (OSError, SafetensorError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete its folder so that it is made again") from error


def save_near_copies(pool: Pool, path: Path) -> None:
    """Write the decoys that are near copies of members as CSV: both files, or both numbers in the pool."""
    assert pool.membership is not None
    assert pool.near is not None
    pairs = pool.near.across(pool.membership)
    names = pool.files.names if pool.files is not None else tuple(map(str, range(len(pool))))
    rows = [(f"decoys/{names[a]}", f"members/{names[b]}") for a, b in pairs]  # so none begins like a formula
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows([("decoy", "member"), *rows])


def load_membership(path: Path) -> np.ndarray:
    """The members, bool [P]. Raises `InputError` if `path` cannot be read."""
    try:
        return load_file(path)["members"].astype(bool)
    except (OSError, SafetensorError, LookupError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete its folder so that it is made again") from error
