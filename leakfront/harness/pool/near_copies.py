"""Images that are nearly the same: a decoy that is nearly a member is hardly one that the model never saw."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDE = 16  # pixels a side of the grey pictures that are compared
NEIGHBOURS = 50
RATIO = 1 / 3  # of the mean distance to the neighbours, below which an image is a near copy
SMALLEST = 4 / 255  # root mean square of a difference that always counts as none
_VALUES = 2**24  # of images that are made small together


@dataclass(frozen=True, eq=False)
class NearCopies:
    """The near copies among P images.

    pairs: int64 [E, 2], an image and its near copy. distances: float64 [E], root mean square, of 1. groups: int64 [P],
    equal for images that pairs connect.
    """

    pairs: np.ndarray
    distances: np.ndarray
    groups: np.ndarray

    def across(self, members: np.ndarray) -> list[tuple[int, int]]:
        """Each decoy that is a near copy of a member, with the nearest such member, in the order of the decoys."""
        one, other = self.pairs.T
        found: dict[int, tuple[float, int]] = {}
        for a, b, distance in zip([*one, *other], [*other, *one], [*self.distances, *self.distances], strict=True):
            if members[b] and not members[a]:
                found[int(a)] = min(found.get(int(a), (np.inf, -1)), (float(distance), int(b)))
        return [(decoy, found[decoy][1]) for decoy in sorted(found)]


def near_copies(images: np.ndarray) -> NearCopies:
    """The near copies among images uint8 [P, C, H, W].

    Images are made grey, averaged to at most 16 x 16 pixels, and freed of their mean brightness. One is a near copy of
    another if it is nearer to it than a third of its mean distance to its 50 nearest (as many as there are), or differs
    by at most 4 of 255 levels. That finds copies in another encoding, with noise, or of another brightness, and some of
    those that are shifted or cropped. Of digits and photographs, at most 1 of 70 has a near copy by chance.
    """
    import faiss
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    block = max(1, _VALUES // images[0].size)
    small = np.concatenate([_small(images[start : start + block]) for start in range(0, len(images), block)])
    index = faiss.IndexFlatL2(small.shape[1])
    index.add(small)
    squared, nearest = index.search(small, min(NEIGHBOURS + 1, len(images)))
    own = nearest == np.arange(len(images))[:, None]
    distance = np.where(own, np.nan, np.sqrt(np.maximum(squared.astype(np.float64), 0)))
    near = distance <= np.maximum(RATIO * np.nanmean(distance, axis=1, keepdims=True), SMALLEST)
    row, column = np.nonzero(near)
    pairs = np.column_stack([row, nearest[row, column]]).astype(np.int64)
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(len(images), len(images)))
    groups = connected_components(graph, directed=False)[1].astype(np.int64)
    return NearCopies(pairs, distance[row, column], groups)


def _small(images: np.ndarray) -> np.ndarray:
    """Grey pictures [N, d] of at most 16 x 16 pixels without their mean, scaled so that distances are of one pixel."""
    from torch import from_numpy
    from torch.nn.functional import adaptive_avg_pool2d

    grey = from_numpy(np.ascontiguousarray(images)).double().mean(dim=1, keepdim=True) / 255
    size = min(SIDE, images.shape[2]), min(SIDE, images.shape[3])
    flat = adaptive_avg_pool2d(grey, size).flatten(1)
    flat = (flat - flat.mean(dim=1, keepdim=True)) / flat.shape[1] ** 0.5
    found: np.ndarray = flat.float().numpy()
    return found
