"""Pools of up to 100,000 images of 64x64x3: CPU time of each step before training, and the memory of a worker.

Images are PNG files of random pixels, all of them in the pool. The first process does what a run does at its start:
it lists the files, reads them, draws the pool and writes it. Then two workers at once do what a cell's stages do with
the images: they map the pool, flip the coins, write and map the training set, and pass all images in batches as a model
sees them. The exponent is that of a power of the number of images, fitted to all sizes.

Run: python -m benchmarks.pool_scale [IMAGES ...]
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (10_000, 31_600, 100_000)
SHAPE = (64, 64, 3)
BATCH = 256
MIB = 2**20
WIDTH = 84  # of the names that are printed

Measured = dict[str, float]  # seconds by step, and MiB by kind of memory


def main() -> None:
    """Print a line for each step, with its exponent."""
    sizes = sorted(int(argument) for argument in sys.argv[1:]) or list(SIZES)
    with tempfile.TemporaryDirectory() as folder:
        _write_images(Path(folder) / "all", sizes[-1])
        columns = [measured(Path(folder), images) for images in sizes]
    print(f"{'':{WIDTH}}" + "".join(f"{images:>11,}" for images in sizes) + "   exponent")
    for name in columns[0]:
        values = [column[name] for column in columns]
        exponent = np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-3)), 1)[0]
        print(f"{name:{WIDTH}}" + "".join(f"{value:11.2f}" for value in values) + f"{exponent:11.2f}")


def measured(everything: Path, images: int) -> Measured:
    """All steps with the first `images` of the images; of the two workers, the larger value."""
    with tempfile.TemporaryDirectory(dir=everything) as folder:
        place = Path(folder)
        (place / "images").mkdir()
        for image in sorted((everything / "all").iterdir())[:images]:
            (place / "images" / image.name).hardlink_to(image)
        found = _in_children(_start_of_a_run, place, 1)[0]
        workers = _in_children(_worker, place, 2)
        found |= {name: max(worker[name] for worker in workers) for name in workers[0]}
        return found | _in_children(_copying_worker, place, 1)[0]


def _start_of_a_run(place: Path) -> Measured:
    from leakfront.datasets import open_dataset
    from leakfront.harness.pool.pool import PoolSettings, build_pool, save_pool

    found: Measured = {}
    with memory(found, "start of a run"):
        dataset = open_dataset(f"folder:{place / 'images'}")
        with cpu(found, "listing the files and their facts"):
            dataset.facts()
        with cpu(found, "hashing their contents"):
            dataset.fingerprint()
        with cpu(found, "reading the images"):
            data = dataset.load()
        with cpu(found, "drawing the pool"):
            pool = build_pool(data, PoolSettings(len(data), reference=0), seed=0)
        with cpu(found, "writing it, with its checksum"):
            save_pool(pool, place / "pool.safetensors")
    return found


def _worker(place: Path) -> Measured:
    import leakfront.harness.training.loop  # noqa: F401 (before anything is measured)
    from leakfront.harness.pool.pool import PoolSettings, flip_coins, load_pool, training_set
    from leakfront.harness.stages.probe import InBatches
    from leakfront.harness.stages.stage import store
    from leakfront.harness.store.mapped import mapped

    found: Measured = {}
    with memory(found, "a worker"):
        with cpu(found, "a worker: mapping the pool"):
            pool = load_pool(place / "pool.safetensors", check=False)
        with cpu(found, "a worker: flipping the coins"):
            members = flip_coins(pool, PoolSettings(len(pool)), seed=0, split=0)
        with cpu(found, "a worker: all images in batches"):
            shown = InBatches(pool.images, "cpu")
            for start in range(0, len(pool), BATCH):
                shown[slice(start, start + BATCH)].sum()
        with cpu(found, "a worker: writing and mapping its training set"):
            own = place / f"training{multiprocessing.current_process().pid}"
            store(own, "key", {"set.safetensors": {"images": training_set(pool, members).images}}, {})
            mapped(own / "set.safetensors")["images"].sum()
    return found


def _copying_worker(place: Path) -> Measured:
    from safetensors.numpy import load_file

    import leakfront.harness.pool.pool  # noqa: F401 (before the memory is measured)

    found: Measured = {}
    with memory(found, "for comparison, a worker that copies the pool"):
        arrays = load_file(place / "pool.safetensors")
        arrays["images"].sum()
    return found


def _write_images(folder: Path, count: int) -> None:
    from PIL import Image

    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        pixels = rng.integers(0, 256, SHAPE, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:06d}.png", compress_level=0)


def _in_children(work: Any, place: Path, count: int) -> list[Measured]:
    """What `work` returns in `count` new processes at once."""
    with multiprocessing.get_context("spawn").Pool(count) as pool:
        return pool.map(work, [place] * count, chunksize=1)


@contextmanager
def cpu(found: Measured, name: str) -> Iterator[None]:
    start = time.process_time()
    yield
    found[f"{name}, s"] = time.process_time() - start


@contextmanager
def memory(found: Measured, name: str) -> Iterator[None]:
    """Above what the process had before: the peak of its resident memory (VmHWM), and at the end what is its own.

    Pages of a mapped file are resident too, but all processes share them, and the kernel takes them back when it must.
    """
    Path("/proc/self/clear_refs").write_text("5")  # reset the peak
    before = _status()
    yield
    now = _status()
    found[f"{name}: peak resident, MiB"] = now["VmHWM"] - before["VmRSS"]
    found[f"{name}: of which its own, not a file's, MiB"] = now["RssAnon"] - before["RssAnon"]


def _status() -> dict[str, float]:
    lines = [line.split() for line in Path("/proc/self/status").read_text().splitlines()]
    return {line[0].rstrip(":"): int(line[1]) * 1024 / MIB for line in lines if line[-1] == "kB"}


if __name__ == "__main__":
    main()
