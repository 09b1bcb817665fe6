"""How time and memory grow: CPU time and peak memory at three sizes each, and the exponent fitted to them.

Matching compares as many generated as real images of 3,072 values, in at most MEMORY MiB. Probing, sampling and
training are those of the digits benchmark; "weights" widens its network. Splits and attacks are scored by LiRA, each
model with all others as shadow models, and their rows averaged over splits. Time is CPU time of one thread, the median
of three rounds in which all sizes take turns. With `large`, sizes are up to 10 times as large: for a quiet machine.

Run: OMP_NUM_THREADS=1 python -m benchmarks.scaling [large]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from benchmarks.pool_scale import Measured, memory
from benchmarks.steps import DIGITS, blank, step_on, training_setup
from leakfront.attacks.lira import LiRA
from leakfront.attacks.loss import Loss
from leakfront.attacks.nearest import nearest_neighbours
from leakfront.harness.stages.aggregate import over_all_splits
from leakfront.harness.stages.probe import InBatches, ProbeSettings, measure_signals
from leakfront.harness.stages.sample import drawn
from leakfront.models.sampling import SamplerSettings, make_sampler
from leakfront.models.unet import UNet
from leakfront.results.run.rows import Row

VALUES, NEIGHBOURS, MEMORY = 3072, 50, 64
ROUNDS = 3
POOL = 640

Work = Callable[[], object]


def main() -> None:
    """Print a line for each quantity."""
    torch.set_num_threads(1)
    large = sys.argv[1:] == ["large"]
    sizes: dict[str, tuple[Callable[[int], tuple[int, Work]], tuple[int, ...]]] = {
        "matching: images on each side": (_matching, (10_000, 31_600, 100_000) if large else (500, 1_000, 2_000)),
        "pool: images probed": (_probing, (2_560, 7_680, 23_040) if large else (128, 256, 512)),
        "images drawn": (_sampling, (2_560, 7_680, 23_040) if large else (128, 256, 512)),
        "weights: a training step": (_training, (16, 64, 256) if large else (16, 32, 64)),
        "splits: all models scored by LiRA": (_scoring, (16, 48, 144) if large else (4, 6, 9)),
        "splits: rows of 20 attacks averaged": (_rows_of_splits, (9, 27, 81) if large else (3, 9, 27)),
        "attacks: rows of 3 splits averaged": (_rows_of_attacks, (20, 60, 180) if large else (10, 20, 40)),
    }
    for name, (make, own) in sizes.items():
        _print(name, *zip(*(make(size) for size in own), strict=True))


def _print(name: str, sizes: tuple[int, ...], works: tuple[Work, ...]) -> None:
    seconds: list[list[float]] = [[] for _ in works]
    peaks = []
    for work in works:
        found: Measured = {}
        with memory(found, name):
            work()
        peaks.append(found[f"{name}: peak resident, MiB"])
    for _ in range(ROUNDS):
        for times, work in zip(seconds, works, strict=True):
            start = time.thread_time()
            work()
            times.append(time.thread_time() - start)
    medians = [statistics.median(times) for times in seconds]
    exponent = np.polyfit(np.log(sizes), np.log(medians), 1)[0]
    shown = "".join(
        f"{size:>12,}: {s:8.3f} s {peak:6.0f} MiB" for size, s, peak in zip(sizes, medians, peaks, strict=True)
    )
    print(f"{name:36}{shown}   exponent {exponent:.2f}", flush=True)


def _matching(size: int) -> tuple[int, Work]:
    rng = np.random.default_rng(0)
    generated, real = (rng.random((size, VALUES), dtype=np.float32) for _ in range(2))
    return size, lambda: nearest_neighbours(generated, real, NEIGHBOURS, memory_mib=MEMORY)


def _network(width: int = 16) -> Any:
    model = UNet(channels=(width, 2 * width)).build(DIGITS, 10, 0)
    model.network.eval().requires_grad_(False)
    return model


def _probing(size: int) -> tuple[int, Work]:
    pixels, model = np.zeros((size, *DIGITS), np.uint8), _network()
    signals, condition = Loss(timesteps=(50, 200), draws=1).signals(), torch.zeros(size, dtype=torch.long)
    images = InBatches(pixels, "cpu")
    return size, lambda: measure_signals(signals, model, images, condition, ProbeSettings(), lambda *_: None)


def _sampling(size: int) -> tuple[int, Work]:
    sampler = make_sampler(_network(), SamplerSettings(steps=2), seed=0)
    return size, lambda: drawn(sampler, range(size), 256)


def _training(width: int) -> tuple[int, Work]:
    model = _network(width)
    weights = sum(parameter.numel() for parameter in model.network.parameters())
    images = torch.zeros(16, *DIGITS)
    return weights, step_on(training_setup(model, 16, blank(POOL)), images, 1, None)


def _scoring(splits: int) -> tuple[int, Work]:
    attack, rng = LiRA(form="difference"), np.random.default_rng(0)
    errors = {name: rng.random((POOL, len(attack.timesteps))) for name in ("errors", "unflipped")}
    models: list[Any] = [
        SimpleNamespace(signals={attack.signal: errors}, members=rng.random(POOL) < 0.5, pool=None)
        for _ in range(splits)
    ]

    def work() -> None:
        for target in models:
            attack.score(target, [other for other in models if other is not target])

    return splits, work


def _rows(attacks: int, splits: int) -> list[Row]:
    row = Row(run="run", cell="", dataset="digits", model="unet", defense="none", params="", split="", kind="privacy",
              source="", metric="auc", value=0.5, ci_low=0.4, ci_high=0.6, n=POOL)  # fmt: skip
    return [
        replace(row, source=f"attack{attack}", split=str(split), level=float(level), metric="tpr_at_fpr")
        for attack in range(attacks)
        for split in range(splits)
        for level in range(1, 11)
    ]


def _rows_of_splits(splits: int) -> tuple[int, Work]:
    rows = _rows(20, splits)
    return splits, lambda: over_all_splits(rows, 1e-5, 20)


def _rows_of_attacks(attacks: int) -> tuple[int, Work]:
    rows = _rows(attacks, 3)
    return attacks, lambda: over_all_splits(rows, 1e-5, attacks)


if __name__ == "__main__":
    main()
