"""The data sets, feature extractors and figures of this package pass their checks; other plug-ins do in their rooms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leakfront.datasets import open_dataset
from leakfront.results.features import registry as features
from leakfront.results.figures import figures
from leakfront.results.run.data import RunData
from leakfront.testing import check_dataset, check_feature_extractor, check_figure
from tests.results.features.test_dinov2 import saved
from tests.synthetic_run import synthetic_run


def pictures(folder: Path, count: int, seed: int) -> str:
    """Write different grey pictures of 8 x 8 pixels."""
    folder.mkdir()
    for number, pixels in enumerate(np.random.default_rng(seed).integers(0, 256, (count, 8, 8), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return str(folder)


@pytest.mark.parametrize("reference", [False, True])
def test_data_sets(reference: bool, tmp_path: Path) -> None:
    first, second, third = (pictures(tmp_path / name, 5, seed) for seed, name in enumerate(("a", "b", "c")))
    np.savez(tmp_path / "archive.npz", images=np.zeros((3, 8, 8, 3), np.uint8))
    check_dataset(open_dataset("digits"))
    check_dataset(open_dataset(f"folder:{first}"))
    check_dataset(open_dataset(f"npz:{tmp_path / 'archive.npz'}"))
    more = {"reference": third} if reference else {}
    check_dataset(open_dataset("members_decoys", members=first, decoys=second, **more))


@pytest.mark.parametrize("name", ["embedded", "digits_frozen", "pixels", "dinov2"])
def test_feature_extractors(name: str, tmp_path: Path) -> None:
    small = {"embedded": {"steps": 2}, "dinov2": {"folder": str(saved(tmp_path / "tiny")), "dimensions": 16}}
    check_feature_extractor(features.get(name)(**small.get(name, {})))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return synthetic_run(tmp_path_factory.mktemp("run"), splits=2, pool=96, samples=100)


@pytest.mark.parametrize("name", figures.names())
def test_figures(name: str, finished: RunData) -> None:
    check_figure(figures.get(name), finished)
