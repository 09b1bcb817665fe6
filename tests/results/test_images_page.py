"""The page of single images has the lines of per_image.csv; the shareable one has neither names nor pictures."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from leakfront.results.page.images import images_page
from leakfront.results.report import write_report
from leakfront.results.run.data import RunData
from leakfront.results.run.per_image import per_image
from leakfront.results.run.shareable import Shareable
from leakfront.results.run.shown_names import ShownNames
from tests.synthetic_run import Strength, synthetic_run

SECRET = "ward 7 <b>patient</b>"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    folder = tmp_path_factory.mktemp("run")
    synthetic_run(folder, (Strength("none", copied=29, leak=1.1),), splits=2, pool=128)
    (folder / "pool" / "names.txt").write_text("".join(f"{SECRET} {i}.png\n" for i in range(128)))
    return RunData(folder)


def test_its_lines_are_the_images_of_the_first_split_the_closest_first(run: RunData) -> None:
    page, lines = images_page(run), per_image(run, run.cells[0])
    assert page.count("<tr") == 1 + len(lines)
    shown = re.findall(r"<td>ward 7 &lt;b&gt;patient&lt;/b&gt; (\d+)\.png", page)
    assert shown == [str(image) for image in lines["image"]]
    reported = int((lines["q_value"] <= 0.05).sum())
    assert page.count('<tr class="reported">') == reported
    assert f"{reported} of {lines['member'].sum()} members are reported as extracted at 5% FDR" in page
    assert page.count("data:image/png") == 128 + lines["nearest_sample"].notna().sum()
    assert page.index("This page shows private images") < page.index("<table")


def test_the_shareable_one_has_numbers_for_names_and_no_pictures(run: RunData) -> None:
    page = images_page(Shareable(run, ShownNames(frozenset(), frozenset(), frozenset({"none"}), frozenset())))
    assert "ward" not in page
    assert "data:image" not in page
    assert "shows private images" not in page
    assert f"<td>image {per_image(run, run.cells[0])['image'][0]}</td>" in page


def test_the_shareable_folder_has_lines_with_numbers_for_names(run: RunData, tmp_path: Path) -> None:
    (run.folder / "pool" / "subjects.txt").write_text("".join(f"{SECRET} {i // 2}\n" for i in range(128)))
    shared = Shareable(RunData(run.folder), ShownNames(frozenset(), frozenset(), frozenset({"none"}), frozenset()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("leakfront.results.report._names", lambda _: [])
        write_report([shared], tmp_path, left_out=["names"])
    (run.folder / "pool" / "subjects.txt").unlink()
    lines = pd.read_csv(tmp_path / "per_image.csv")
    assert lines["file"].tolist() == [f"image {number}" for number in lines["image"]]
    assert lines["q_value"].min() <= 0.05
    for page in tmp_path.rglob("*"):
        assert page.is_dir() or SECRET not in page.read_text(), page


def test_large_pictures_are_reduced(tmp_path: Path) -> None:
    import numpy as np

    from leakfront.results.page.images import picture

    large = np.random.default_rng(0).integers(0, 256, (3, 512, 512)).astype(np.uint8)
    assert picture(large).startswith("data:image/jpeg")
    assert len(picture(large)) < 30_000
