"""Deduplication of the training set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from defenses import Defense, TrainingSet, register
from leakfront.errors import InputError


@register("dedup")
@dataclass(frozen=True)
class Dedup(Defense):
    """Train on one image of each cluster of duplicates (Lee et al. 2022, arXiv 2107.06499; Carlini et al. 2023, §7.1).

    Two images are duplicates if their bytes are equal (`method` "exact") or if the cosine similarity of their
    embeddings is at least `threshold` ("similarity"; the embedding is the centred image itself, scaled to unit
    length). Clusters are the connected components, and the first image of each stays. It reports how many it removed,
    and precision and recall over the pairs that were planted. No guarantee: it stops what duplication causes.
    """

    acts_on = "data"
    covers = "samples, loss, gradients"
    summary = "drop all but one of each cluster of duplicates"

    method: Literal["exact", "similarity"] = "exact"
    threshold: float = 0.98

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise InputError(f"dedup.threshold is {self.threshold}; it must lie in (0, 1]")

    def prepare(self, dataset: TrainingSet) -> TrainingSet:
        cluster = self.clusters(dataset.images)
        _, keep = np.unique(cluster, return_index=True)
        precision, recall = pair_precision_recall(cluster, dataset.pool_index)
        return dataset.select(
            np.sort(keep),
            removed=float(len(dataset) - len(keep)),
            duplicate_precision=precision,
            duplicate_recall=recall,
        )

    def clusters(self, images: np.ndarray) -> np.ndarray:
        """The cluster of each image, int64 [N], for uint8 images [N, C, H, W]."""
        flat = images.reshape(len(images), -1)
        if self.method == "exact":
            _, cluster = np.unique(flat, axis=0, return_inverse=True)
            return cluster.reshape(-1).astype(np.int64)
        import faiss
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        embedded = flat.astype(np.float32)
        embedded -= embedded.mean(1, keepdims=True)
        embedded /= np.maximum(np.linalg.norm(embedded, axis=1, keepdims=True), 1e-12)
        index = faiss.IndexFlatIP(embedded.shape[1])
        index.add(embedded)
        # similarities carry float32 rounding: an exact copy must pass a threshold of 1
        limits, _, near = index.range_search(embedded, self.threshold - 1e-6)
        row = np.repeat(np.arange(len(flat)), limits[1:].astype(np.int64) - limits[:-1].astype(np.int64))
        graph = coo_array((np.ones(len(row), bool), (row, near)), shape=(len(flat), len(flat)))
        return connected_components(graph, directed=False)[1].astype(np.int64)


def pair_precision_recall(cluster: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Precision and recall of the pairs put into one cluster, against the pairs of equal `truth`; nan without pairs."""

    def pairs(labels: np.ndarray) -> int:
        counts = np.unique(labels, return_counts=True, axis=0)[1]
        return int((counts * (counts - 1) // 2).sum())

    both = pairs(np.stack([cluster, truth], axis=1))
    found, planted = pairs(cluster), pairs(truth)
    return both / found if found else np.nan, both / planted if planted else np.nan
