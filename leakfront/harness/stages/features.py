"""The features of a cell's samples, extracted once; metrics and attacks read them."""

from __future__ import annotations

from pathlib import Path

from safetensors import safe_open

from leakfront.harness.plan.plan import CellPlan
from leakfront.harness.stages.extractor import FITTED, IMAGE_SETS, extracted, known_labels
from leakfront.harness.stages.sample import SAMPLE, load_sample_labels
from leakfront.harness.stages.stage import Files, Stage, Work
from leakfront.harness.store.layout import Layout
from leakfront.results.metrics.image_set import ImageSet, store_features


def _run(work: Work) -> Files:
    """Extract the features in batches: at most 1,024 images and their features are in memory at a time."""

    def write(folder: Path) -> None:
        extractor = work.plan.extractor.load(work.layout.extractor / FITTED)
        samples = work.layout.stage(work.cell.name, SAMPLE.name) / "samples.safetensors"
        with safe_open(samples, framework="numpy") as file:
            images = file.get_slice("images")
            store_features(extracted(extractor, images, images.get_shape()[0]), folder, extractor.fits)

    return {".": write}


FEATURES = Stage(
    "features", "cell", inputs=("sample", "extractor"), settings=lambda subject: [], code=lambda subject: [IMAGE_SETS],
    run=_run,
)  # fmt: skip


def sample_set(cell: CellPlan, layout: Layout) -> ImageSet:
    """The features of a cell's samples, with the class labels that they were generated for."""
    return ImageSet.stored(layout.stage(cell.name, FEATURES.name), known_labels(load_sample_labels(cell, layout)))
