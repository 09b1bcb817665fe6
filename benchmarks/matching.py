"""Exact nearest neighbours of generated among real images: 4,096 x 25,000 images of 3,072 values, 50 neighbours.

The limit is one float32 matrix product of that size, which every exact search needs. The alternative is bare
`faiss.knn`, whose distances are a few percent off on near-duplicates; ours recomputes the kept distances directly.

Run: python -m benchmarks.matching
"""

from __future__ import annotations

import resource
import sys

import numpy as np

from benchmarks.side_by_side import compare
from leakfront.attacks.nearest import nearest_neighbours

GENERATED, REAL, VALUES, NEIGHBOURS = 4096, 25_000, 3072, 50


def main() -> None:
    """Print times and peak memory."""
    import faiss
    import torch

    threads = int(sys.argv[1]) if len(sys.argv) > 1 else 2
    faiss.omp_set_num_threads(threads)
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    generated = rng.random((GENERATED, VALUES), dtype=np.float32)
    real = rng.random((REAL, VALUES), dtype=np.float32)
    a, b = torch.from_numpy(generated), torch.from_numpy(real)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    nearest_neighbours(generated, real, NEIGHBOURS, memory_mib=64)
    added = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    compare(
        f"{GENERATED} x {REAL} x {VALUES}, n {NEIGHBOURS}, {threads} threads",
        {
            "faiss.knn": lambda: faiss.knn(generated, real, NEIGHBOURS),
            "leakfront, distances recomputed": lambda: nearest_neighbours(generated, real, NEIGHBOURS),
            "leakfront, memory_mib=16": lambda: nearest_neighbours(generated, real, NEIGHBOURS, memory_mib=16),
            "torch's matrix product alone": lambda: a @ b.T,
        },
    )
    print(f"peak memory that the search added at memory_mib=64: {added:.0f} MiB")


if __name__ == "__main__":
    main()
