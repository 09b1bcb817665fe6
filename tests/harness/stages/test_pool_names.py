"""The pool keeps the name of each image's file, apart from what attacks read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leakfront.harness.checks import check_everything
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages import POOL
from leakfront.harness.stages.stage import Work, perform
from leakfront.harness.store.layout import Layout
from leakfront.results.run.data import RunData
from tests.small_config import small
from tests.synthetic_run import digits


def drawn(folder: Path, **changes: Any) -> RunData:
    metrics = {"features": "pixels", "names": []}  # the images have no classes
    config, layout = parse_config(small(data__duplicates={}, metrics=metrics, **changes)), Layout(folder)
    plan, pool = check_everything(config, layout)
    perform(POOL, Work(plan=plan, layout=layout, pool=pool), plan.keys["pool"])
    return RunData(folder)


def saved(folder: Path, images: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image[0]).save(folder / f"scan {number}.png")
    return folder


def test_each_name_is_that_of_its_image(tmp_path: Path) -> None:
    photos = saved(tmp_path / "photos", digits()[:160])
    run = drawn(tmp_path / "run", data__dataset=f"folder:{photos}", data__pool=80, data__reference=70)
    assert run.files is not None
    assert len(set(run.files)) == 80
    for name, pixels in zip(run.files, run.pool["images"], strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(photos / name)), pixels[0])


def test_data_without_files_has_no_names(tmp_path: Path) -> None:
    assert drawn(tmp_path / "run").files is None


@pytest.mark.parametrize("name", ["\n.png", "\udcff.png"])
def test_a_name_takes_one_line_whatever_it_is(tmp_path: Path, name: str) -> None:
    photos = saved(tmp_path / "photos", digits()[:160])
    (photos / "scan 0.png").rename(photos / name)
    run = drawn(tmp_path / "run", data__dataset=f"folder:{photos}", data__pool=90, data__reference=70)
    assert run.files is not None
    assert len(run.files) == 90
    assert all(one.isprintable() for one in run.files)
