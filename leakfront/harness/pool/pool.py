"""The coin-flip pool: the real images of a run, and which of them each model may train on."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from leakfront.datasets import OUTSIDE, LabelledImages
from leakfront.datasets.files.facts import FileFacts
from leakfront.defenses.contract import TrainingSet
from leakfront.errors import InputError
from leakfront.harness.pool.near_copies import NearCopies
from leakfront.harness.pool.planted_duplicates import COPY_KINDS, CopyKind, altered_copies
from leakfront.harness.store.mapped import mapped
from leakfront.harness.store.texts import as_array, as_texts
from leakfront.seeds import derive_seed

APART = (
    "notes",
    "membership",
    "files",
    "near",
    "subject_names",
)  # fields that `save_pool` leaves to files of their own
_CAPTIONS = ("captions", "reference_captions", "extractor_captions")


@dataclass(frozen=True)
class PoolSettings:
    """How a pool is drawn.

    size: images in the pool. coin: the probability of being a member. reference: images outside the pool for FID (None:
    two thirds of those outside, and the rest for the feature extractor; 0: none, so that the pool may be all the data).
    groups: pool images that are planted as duplicates. As a member, such an image occurs `copies` times in the training
    set: first unchanged, then altered by `copy_kind`. Several numbers of copies are dealt in turn to the planted
    images, whose order is random, so that each number has equally many images, up to one. Raises `InputError`
    for values out of range.
    """

    size: int
    coin: float = 0.5
    reference: int | None = None
    groups: int = 0
    copies: int | tuple[int, ...] = 1
    copy_kind: CopyKind = "exact"

    def __post_init__(self) -> None:
        if not 0 < self.coin < 1:
            raise InputError(f"coin must lie between 0 and 1, not {self.coin}")
        if self.size * min(self.coin, 1 - self.coin) < 2:
            expected = f"{self.size * self.coin:g} members and {self.size * (1 - self.coin):g} decoys"
            raise InputError(
                f"pool = {self.size} with coin = {self.coin} gives {expected} on average, but 2 are needed"
            )
        if self.reference is not None and self.reference < 0:
            raise InputError(f"reference must be a number of images, 0 or more, not {self.reference}")
        if not 0 <= self.groups <= self.size:
            raise InputError(f"groups must lie between 0 and the pool's size, {self.size}, not {self.groups}")
        if np.min(self.copies) < 1:
            raise InputError(f"copies must be 1 (once in the training set) or more, not {self.copies}")
        if self.copy_kind not in COPY_KINDS:
            raise InputError(f"copy_kind must be one of {', '.join(COPY_KINDS)}, not {self.copy_kind!r}")


@dataclass(frozen=True, eq=False)
class Pool:
    """Real images in three parts (pool, reference, extractor); no two images are equal byte for byte.

    images: uint8 [P, C, H, W]; labels: int64 [P], indices into `classes`.
    copies: int64 [P], how often a member is in the training set; above 1 for planted groups.
    variants: uint8 [V, C, H, W], every distinct image that training may see; variant_of: int64 [V], the pool image that
    each is a version of. The first P are the pool images themselves; if copies are exact, there are no others.
    reference_…: the images that FID compares with; extractor_…: the images that an embedded feature extractor trains
    on. Both may be empty.
    duplicates_dropped: images of the data left out because they equal another; skipped: unreadable files.
    notes: what a reader should know of the data's files; sentences without their ends.
    captions, reference_captions, extractor_captions: the text of each image of a part, or None if the data has none.
    membership: bool [P], the images that the model under attack was trained on, if the data set states them, else None.
    files: the facts of the images' files, if it has files. near: the near copies among the images, for controls of
    known membership. subject_names: the name of each image's subject. `save_pool` writes none of these five, so the
    attack stage cannot read them.
    subjects: int64 [P], the number of each image's subject, or None if every image stands alone.
    """

    images: np.ndarray
    labels: np.ndarray
    copies: np.ndarray
    variants: np.ndarray
    variant_of: np.ndarray
    reference_images: np.ndarray
    reference_labels: np.ndarray
    extractor_images: np.ndarray
    extractor_labels: np.ndarray
    classes: tuple[str, ...]
    duplicates_dropped: int = 0
    skipped: int = 0
    notes: tuple[str, ...] = ()
    membership: np.ndarray | None = None
    files: FileFacts | None = None
    near: NearCopies | None = None
    captions: tuple[str, ...] | None = None
    reference_captions: tuple[str, ...] | None = None
    extractor_captions: tuple[str, ...] | None = None
    subjects: np.ndarray | None = None
    subject_names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def all_captions(self) -> tuple[str, ...]:
        """The captions of all parts, in order of text, each once; blind to coins and copies. Empty without captions."""
        parts = (self.captions, self.reference_captions, self.extractor_captions)
        return tuple(sorted({text for part in parts for text in part or ()}))

    @cached_property
    def checksum(self) -> str:
        """SHA-256, in hexadecimal, of all arrays and the class names."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for name, array in _stored_arrays(self).items():
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(array.data)
        return digest.hexdigest()


def build_pool(data: LabelledImages, settings: PoolSettings, seed: int) -> Pool:
    """Draw the pool and the images outside it at random from the distinct images of `data`.

    The result depends on the arguments and on the images' contents, not on their order. Among equal images, the one
    with the smallest label is kept, then the one with the first caption. Raises `InputError` if there are too few
    images.
    """
    first = distinct_images(data)
    order = [first[digest] for digest in sorted(first, key=lambda digest: (derive_seed("pool", seed, digest), digest))]
    if data.subjects is not None:
        order = _by_subject(order, data.subjects, settings)
    bounds = [settings.size, settings.size + _reference_size(len(data), len(order), settings)]
    inside, reference, extractor = np.split(np.array(order), bounds)

    planted = sorted(range(settings.size), key=lambda i: derive_seed("planted", seed, i))[: settings.groups]
    copies = np.ones(settings.size, dtype=np.int64)
    copies[planted] = np.resize(settings.copies, len(planted))
    images = data.images[inside]
    altered: dict[str, tuple[np.ndarray, int]] = {}
    for i in sorted(planted):
        for copy in altered_copies(images[i], settings.copy_kind, int(copies[i]) - 1, derive_seed("copies", seed, i)):
            digest = hashlib.sha256(copy.tobytes()).hexdigest()
            if digest not in first:  # otherwise it equals an image of the data, perhaps a decoy
                altered.setdefault(digest, (copy, i))
    return Pool(
        images=images,
        labels=data.labels[inside].astype(np.int64),
        copies=copies,
        variants=np.stack([*images, *(copy for copy, _ in altered.values())]) if altered else images,
        variant_of=np.array([*range(settings.size), *(i for _, i in altered.values())], dtype=np.int64),
        reference_images=data.images[reference],
        reference_labels=data.labels[reference].astype(np.int64),
        extractor_images=data.images[extractor],
        extractor_labels=data.labels[extractor].astype(np.int64),
        classes=data.classes,
        duplicates_dropped=len(data) - len(first),
        skipped=data.skipped,
        notes=data.notes,
        files=None if data.files is None else data.files.select(inside),
        captions=data.captions_at(inside),
        reference_captions=data.captions_at(reference),
        extractor_captions=data.captions_at(extractor),
        **numbered_subjects(data, inside),
    )


def _by_subject(order: Sequence[int], subjects: Sequence[str], settings: PoolSettings) -> list[int]:
    """The images in such an order that those of a subject are together, and none outside the pool shows one inside it.

    Subjects come in the order of their first images. The images of the last subject that do not fit are left out.
    """
    if settings.groups:
        raise InputError("data.duplicates plants copies of single images; leave it out with data.params.subjects")
    of: dict[str, list[int]] = {}
    for index in order:
        of.setdefault(subjects[index], []).append(index)
    grouped = [index for mine in of.values() for index in mine]
    inside = grouped[: settings.size]
    known = {subjects[index] for index in inside}
    return inside + [index for index in grouped[settings.size :] if subjects[index] not in known]


def numbered_subjects(data: LabelledImages, inside: Sequence[int] | np.ndarray) -> dict[str, Any]:
    """The subjects of pool images by number, in the order of the pool, and by name; nothing for data without any."""
    if data.subjects is None:
        return {}
    names = tuple(data.subjects[int(index)] for index in inside)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return {"subjects": np.array([numbers[name] for name in names], dtype=np.int64), "subject_names": names}


def distinct_images(data: LabelledImages) -> dict[str, int]:
    """The SHA-256 of every distinct image, and for each the index of the copy that is kept.

    Members and decoys are preferred to images that are neither (if the data has roles), then the smallest label, then
    the first caption in order of text: an equal image with another caption is the same image.
    """

    def rank(index: int) -> tuple[bool, int, str]:
        is_outside = data.roles is not None and bool(data.roles[index] == OUTSIDE)
        return is_outside, int(data.labels[index]), data.captions[index] if data.captions else ""

    first: dict[str, int] = {}
    for index, image in enumerate(data.images):
        digest = hashlib.sha256(image.tobytes()).hexdigest()
        if digest not in first or rank(index) < rank(first[digest]):
            first[digest] = index
    return first


def flip_coins(pool: Pool, settings: PoolSettings, seed: int, split: int) -> np.ndarray:
    """The members of `split`, bool [P]: each image with probability `settings.coin`, independently of all others.

    Each coin depends on (seed, split, index of the image) alone. A planted group is one image, so it has one coin. All
    images of a subject share one, which depends on the number of the subject.
    """
    heads = settings.coin * 2**63
    numbers = range(len(pool)) if pool.subjects is None else map(int, pool.subjects)
    return np.array([derive_seed("coin", seed, split, i) < heads for i in numbers], dtype=bool)


def training_set(pool: Pool, members: np.ndarray) -> TrainingSet:
    """The training set of `members`, bool [P]: each member `copies` times, first unchanged, then its variants in turn.

    Raises `ValueError` if `members` is not bool [P] and `InputError` if there is no member.
    """
    if members.dtype != np.bool_ or members.shape != (len(pool),):
        raise ValueError(f"members must be bool [{len(pool)}], not {members.dtype} {list(members.shape)}")
    if not members.any():
        raise InputError(f"no coin of this split made a member of the {len(pool)} pool images; make the pool larger")
    times = pool.copies[members]
    index = np.repeat(np.flatnonzero(members), times)
    turn = np.arange(len(index)) - np.repeat(np.cumsum(times) - times, times)  # 0 … copies - 1 for each member
    altered_of = pool.variant_of[len(pool) :]  # sorted
    start = np.searchsorted(altered_of, index, side="left")
    n_altered = np.searchsorted(altered_of, index, side="right") - start
    altered = len(pool) + start + (turn - 1) % np.maximum(n_altered, 1)
    picture = np.where((turn == 0) | (n_altered == 0), index, altered)
    captions = pool.captions and tuple(pool.captions[i] for i in index.tolist())
    return TrainingSet(pool.variants[picture], pool.labels[index], index, captions=captions, subject_of=pool.subjects)


def save_pool(pool: Pool, path: Path) -> None:
    """Write `pool` to `path` as one safetensors file.

    If there are altered copies, the file has all variants in addition to the images, so that both can be mapped.
    """
    apart = (*APART, *_CAPTIONS, "checksum")
    facts = {k: v for k, v in vars(pool).items() if k not in apart and not _is_array(v)}
    arrays = _stored_arrays(pool)
    if len(arrays.pop("altered")):
        arrays["variants"] = np.ascontiguousarray(pool.variants)
    save_file(arrays, path, metadata={"facts": json.dumps({**facts, "checksum": pool.checksum})})


def load_pool(path: Path, check: bool = True) -> Pool:
    """A pool that `save_pool` wrote, mapped: processes that read it share its memory.

    check: whether to compare its checksum, for which every image is read. Raises `InputError` if the file is missing,
    is no pool, or has changed.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            facts: dict[str, Any] = json.loads((file.metadata() or {})["facts"])
        checksum, facts["classes"] = facts.pop("checksum"), tuple(facts["classes"])
        arrays: dict[str, Any] = mapped(path)
        texts = {name: as_texts(arrays.pop(name)) for name in _CAPTIONS if name in arrays}
        pool = Pool(**{"variants": arrays["images"], **facts, **arrays, **texts})
    except (OSError, SafetensorError, LookupError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a pool ({error}); delete it so that it is drawn again") from error
    if check and pool.checksum != checksum:
        raise InputError(f"the pool in {path} does not have its checksum; delete it so that it is drawn again")
    return pool


def _stored_arrays(pool: Pool) -> dict[str, np.ndarray]:
    """The arrays of a pool by name; of the variants only the altered ones, and captions as arrays."""
    texts = {name: as_array(texts) for name in _CAPTIONS if (texts := getattr(pool, name)) is not None}
    altered = pool.variants[len(pool) :]
    arrays = {**vars(pool), **texts, "variants": None, **dict.fromkeys(APART), "altered": altered}
    return {name: np.ascontiguousarray(value) for name, value in arrays.items() if _is_array(value)}


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)


def _reference_size(n: int, distinct: int, settings: PoolSettings) -> int:
    """How many of the `distinct` images among `n` become the reference."""
    data = f"the data has {distinct} distinct images ({n - distinct} exact duplicates left out)"
    outside, wanted = distinct - settings.size, settings.reference or 0
    if outside < wanted:
        raise InputError(f"pool = {settings.size} and reference = {wanted} make {settings.size + wanted}, but {data}")
    if settings.reference is None and outside < 2:
        raise InputError(f"pool = {settings.size} leaves too few images outside it for FID, since {data}; lower it")
    return round(outside * 2 / 3) if settings.reference is None else wanted
