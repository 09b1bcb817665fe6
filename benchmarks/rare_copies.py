"""Rare copies: what the DCR share and extraction see of k verbatim copies of members among many honest samples.

Of a folder of images, 1,000 become members, 1,000 decoys, and 2,048 others stand for the samples of a model that leaks
nothing. Then k of these samples are replaced by members. Means and standard deviations are over random draws of all.

Run: python -m benchmarks.rare_copies FOLDER [DRAWS]
"""

from __future__ import annotations

import sys

import numpy as np

from leakfront.datasets.folder import ImageFolder
from leakfront.harness.monitor import LeakMonitor

SIDE, SAMPLES, COPIES = 1000, 2048, (0, 3, 10, 30)


def main() -> None:
    """Print a table in Markdown."""
    images, draws = ImageFolder(sys.argv[1]).load().images, int(sys.argv[2]) if len(sys.argv) > 2 else 10
    distinct = np.unique(images.reshape(len(images), -1), axis=0).reshape(-1, *images.shape[1:])
    found = {copies: np.array([judged(distinct, copies, seed) for seed in range(draws)]) for copies in COPIES}
    print("| copies | DCR share | its interval | members before any decoy | excess by the adaptive rule |")
    print("|---:|---:|---:|---:|---:|")
    for copies, numbers in found.items():
        (share, low, high, before, excess), spread = numbers.mean(0), numbers.std(0, ddof=1)
        print(f"| {copies} | {share:.3f} ± {spread[0]:.3f} | {low:.3f} to {high:.3f} | {before:.1f} ± {spread[3]:.1f} "
              f"| {excess:.1f} ± {spread[4]:.1f} |")  # fmt: skip


def judged(images: np.ndarray, copies: int, seed: int) -> tuple[float, float, float, float, float]:
    """One draw: the DCR share with its interval, members before any decoy, and the excess of the adaptive rule."""
    order = np.random.default_rng(seed).permutation(len(images))[: 2 * SIDE + SAMPLES]
    members, decoys, samples = np.split(images[order], [SIDE, 2 * SIDE])
    samples[:copies] = members[:copies]
    leak = LeakMonitor(members, decoys)(samples)
    share = leak.dcr_share
    return share.value, share.low, share.high, leak.members_before_decoys, leak.excess.value


if __name__ == "__main__":
    main()
