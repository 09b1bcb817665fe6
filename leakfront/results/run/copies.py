"""The captions that gave one image again and again, with what they gave: read from a run's arrays, tightest first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from leakfront.errors import InputError
from leakfront.labels import without_controls

if TYPE_CHECKING:
    from leakfront.results.run.data import Cell, RunData

ATTACK = "generate_by_prompt"
_ARRAYS = {"copies_prompt": ("iu", 1), "copies_images": ("u", 5), "copies_distance": ("f", 1), "matched_extracted":
           ("biu", 1)}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Copy:
    """A flagged caption of one model.

    key: names it in marks. pair: the number of its pool image. images: uint8 [n, C, H, W] of its clique, the medoid
    first. distance: the smallest at which it has a clique. shown: whether the clique shows the pair's own image, and
    the pair is a member.
    """

    key: str
    cell: Cell
    pair: int
    images: np.ndarray
    distance: float
    shown: bool


def copies_of(run: RunData) -> list[Copy]:
    """The flagged captions of all models of a run as served, those with the tightest cliques first.

    Raises `InputError` for arrays that no run writes.
    """
    labels = [label for label, facts in run.summary.facts.items() if facts.get("attack") == ATTACK]
    found = [
        copy
        for cell in run.cells
        for label in labels
        if run.summary.value(cell.point, label, "auc", cell.split) is not None
        for copy in _of_cell(run, cell, label)
    ]
    return sorted(found, key=lambda copy: (copy.distance, copy.key))


def _of_cell(run: RunData, cell: Cell, label: str) -> list[Copy]:
    arrays, members = run.scores(cell, label), run.members(cell)
    for name, (kinds, axes) in _ARRAYS.items():
        if name not in arrays or arrays[name].dtype.kind not in kinds or arrays[name].ndim != axes:
            raise InputError(f"the scores of {label} on {cell.name} have no array {name!r} as a run writes it")
    pairs, images = arrays["copies_prompt"], arrays["copies_images"]
    fits = len({len(pairs), len(images), len(arrays["copies_distance"])}) == 1 and images.dtype == np.uint8
    inside = not len(pairs) or (pairs.min() >= 0 and pairs.max() < len(members) and images.shape[2] in (1, 3))
    if not fits or not inside or len(arrays["matched_extracted"]) != len(members):
        raise InputError(f"the scores of {label} on {cell.name} do not fit the run's other arrays")
    shown = arrays["matched_extracted"].astype(bool) & members
    return [
        Copy(f"{cell.name}/{label}/{pair}", cell, pair, images[row], float(arrays["copies_distance"][row]),
             bool(shown[pair]))
        for row, pair in enumerate(pairs.tolist())
    ]  # fmt: skip


def captions_of(run: RunData, cell: Cell) -> tuple[str, ...]:
    """The caption of each pool image. Raises `InputError` if the pool has none."""
    pool = run.pool_of(cell)
    try:
        texts = pool["captions"].tobytes().decode().split("\0")[:-1]
    except (KeyError, ValueError):
        texts = []
    if len(texts) != len(pool["images"]):
        raise InputError(f"the pool of {cell.name} does not have a caption for each image")
    return tuple(map(without_controls, texts))
