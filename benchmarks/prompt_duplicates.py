"""Ranking the captions of 100,000 pairs by near-copies of their images: time, memory, and what the search finds.

The vectors have 512 values, as those of CLIP: random around 2,000 topics, a tenth of them in groups of 2 to 50 at a
cosine of 0.97. So the groups are known. Each size is measured in a process of its own.

Run: python -m benchmarks.prompt_duplicates [PAIRS ...]
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from pathlib import Path

import numpy as np

SIZES = (100_000,)
DIMENSIONS, TOPICS, COSINE = 512, 2000, 0.97
LARGEST_GROUP = 50


def main() -> None:
    """Print a line for each number of pairs."""
    for pairs in [int(argument) for argument in sys.argv[1:]] or SIZES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            print(pool.apply(measured, (pairs,)), flush=True)


def measured(pairs: int) -> str:
    """One line on the ranking of so many pairs."""
    from leakfront.attacks.prompts.duplicates import near_duplicates

    vectors, true = clustered(pairs)
    start, cpu = time.perf_counter(), time.process_time()
    found = near_duplicates(vectors)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    planted = np.bincount(true)[true] > 1
    whole = [len(set(found.group[rows])) == 1 for rows in _members(true[planted], np.flatnonzero(planted))]
    exact = np.array_equal(found.size, np.bincount(true)[true])
    return (
        f"{pairs:,} pairs: {cpu:.1f} s of CPU, {wall:.1f} s; {sum(whole)} of {len(whole)} groups found whole, "
        f"all sizes right: {exact}; peak memory {_peak_mib():,.0f} MiB, vectors alone {vectors.nbytes / 2**20:,.0f}"
    )


def clustered(pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Vectors float32 [N, 512] in random order, and the number of each one's group, int64 [N]."""
    rng = np.random.default_rng(0)
    sizes: list[int] = []
    while sum(sizes) < pairs // 10:
        sizes.append(int(rng.integers(2, LARGEST_GROUP + 1)))
    group = np.repeat(np.arange(len(sizes)), sizes)
    group = np.append(group, np.arange(len(sizes), len(sizes) + pairs - len(group)))
    topics = rng.normal(size=(TOPICS, DIMENSIONS)).astype(np.float32)
    first = np.append(True, np.diff(group) > 0)  # of each group
    centre = topics[rng.integers(TOPICS, size=group[-1] + 1)]
    centre += rng.normal(size=centre.shape).astype(np.float32)  # unlike images of a topic have a cosine of 0.5
    vectors = centre[group]
    spread = np.sqrt(1 / COSINE - 1) * np.linalg.norm(centre, axis=1) / np.sqrt(DIMENSIONS)
    noise = rng.normal(size=(int((~first).sum()), DIMENSIONS)).astype(np.float32)
    vectors[~first] += spread[group[~first], None].astype(np.float32) * noise
    order = rng.permutation(pairs)
    return vectors[order], group[order]


def _members(group: np.ndarray, number: np.ndarray) -> list[np.ndarray]:
    """The numbers of the vectors of each group."""
    order = np.argsort(group, kind="stable")
    return np.split(number[order], np.flatnonzero(np.diff(group[order])) + 1)


def _peak_mib() -> float:
    """VmHWM of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
