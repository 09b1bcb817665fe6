"""Exact nearest neighbours in bounded memory, by faiss on a CPU and by torch on a GPU."""

from __future__ import annotations

import numpy as np


def flatten_unit(images: np.ndarray) -> np.ndarray:
    """uint8 [N, C, H, W] -> float32 [N, C*H*W] in [0, 1]."""
    flat = np.ascontiguousarray(images.reshape(len(images), -1), dtype=np.float32)
    flat /= 255
    return flat


def nearest_neighbours(
    queries: np.ndarray, database: np.ndarray, n: int, memory_mib: int = 1024, device: str = "cpu"
) -> tuple[np.ndarray, np.ndarray]:
    """The n nearest rows of `database` to each row of `queries`.

    queries: float32 [Q, d]. database: float32 [N, d]. n: 1 … N; `ValueError` otherwise. memory_mib: a bound on what the
    search allocates, without its arguments. Returns distances float32 [Q, n] and indices int64 [Q, n], nearest first.

    The distance is l2(a, b) = sqrt(mean((a - b)^2)), computed directly for the rows that are kept. The search expands
    |a|^2 + |b|^2 - 2ab, which in float32 is wrong by a few percent for the squared distance of near-duplicates, so its
    own distances are not used.
    """
    if not 1 <= n <= len(database):
        raise ValueError(f"n is {n}; it must lie in 1 … {len(database)}, the number of rows to search")
    dimensions = queries.shape[1]
    search = _search_torch if device.startswith("cuda") else _search_faiss
    # one query needs its n results twice and, on a GPU, a row of the distance matrix and n gathered rows
    per_query = 4 * (6 * n + (2 * len(database) + n * dimensions if search is _search_torch else 0))
    block = max(1, int(memory_mib * 2**20 / per_query))
    distances = np.empty((len(queries), n), np.float32)
    indices = np.empty((len(queries), n), np.int64)
    for start in range(0, len(queries), block):
        rows = slice(start, start + block)
        squared, found = search(queries[rows], database, n, device)
        order = np.lexsort((found, squared), axis=1)  # equal distances in the order of the database
        distances[rows] = np.sqrt(np.take_along_axis(squared, order, 1) / dimensions)
        indices[rows] = np.take_along_axis(found, order, 1)
    return distances, indices


def _search_faiss(queries: np.ndarray, database: np.ndarray, n: int, device: str) -> tuple[np.ndarray, np.ndarray]:
    import faiss

    _, found = faiss.knn(queries, database, n)
    found = np.ascontiguousarray(found, dtype=np.int64)
    squared = np.empty(found.shape, np.float32)
    faiss.fvec_L2sqr_by_idx(  # type: ignore[attr-defined]
        faiss.swig_ptr(squared), faiss.swig_ptr(queries), faiss.swig_ptr(database), faiss.swig_ptr(found),
        queries.shape[1], len(queries), n,
    )  # fmt: skip
    return squared, found


def _search_torch(queries: np.ndarray, database: np.ndarray, n: int, device: str) -> tuple[np.ndarray, np.ndarray]:
    import torch

    q = torch.from_numpy(queries).to(device)
    base = torch.from_numpy(database).to(device)
    expanded = torch.addmm(base.square().sum(1)[None], q, base.T, alpha=-2)
    found = expanded.topk(n, largest=False).indices
    squared = (base[found] - q[:, None]).square().sum(2)
    return squared.cpu().numpy(), found.cpu().numpy()
