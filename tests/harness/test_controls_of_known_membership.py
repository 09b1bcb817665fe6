"""Controls of known membership: they see no model, stand in front of every number, and warn where they must."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console
from sklearn.datasets import load_digits

from leakfront.models.unet import UNet
from leakfront.results.page.findings import findings
from leakfront.results.page.page import Contents, _facts, page
from leakfront.results.report import TABLES
from leakfront.results.run.data import RunData
from leakfront.results.tables.attacks import attack_table
from leakfront.results.tables.main import main_table, terminal
from tests.in_process import run_here
from tests.small_config import small

SIDE = 24  # members, and decoys


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    pixels = np.round(load_digits().images * (255 / 16)).astype(np.uint8)
    return np.asarray(pixels[np.random.default_rng(0).permutation(len(pixels))])


def write(folder: Path, pictures: np.ndarray, ending: str = "png") -> str:
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number:03d}.{ending}")
    return str(folder)


def attacked(root: Path, members: str, decoys: str) -> RunData:
    """A whole run on a network that was trained on neither."""
    UNet(channels=(8, 8), head_channels=8).build((1, 8, 8), 1, 3).save(root / "model")
    params: dict[str, Any] = {"members": members, "decoys": decoys}
    settings = small(
        splits=1,
        model={"name": "pipeline", "path": str(root / "model")},
        data={"dataset": "members_decoys", "params": params, "pool": 2 * SIDE},
        metrics={"names": [], "features": "pixels"},
        attacks={"loss": {"timesteps": [100], "draws": 1}},
        sampling={"images": 8, "steps": 2},
    )
    _, said = run_here(settings, root / "run", report=False)
    (root / "said").write_text(said)
    return RunData(root / "run")


def page_of(run: RunData) -> str:
    """The report's page without its figures."""
    tables = {name: make(run) for name, make in TABLES.items()}
    return page(run, Contents(findings(run), tables, [], {}))


@pytest.fixture(scope="module")
def in_two_formats(tmp_path_factory: pytest.TempPathFactory, digits: np.ndarray) -> RunData:
    root = tmp_path_factory.mktemp("formats")
    decoys = np.concatenate([digits[SIDE : 2 * SIDE - 6], np.clip(digits[:6].astype(int) + 9, 0, 255)]).astype(np.uint8)
    return attacked(root, write(root / "m", digits[:SIDE]), write(root / "d", decoys, "jpg"))


def row(run: RunData, source: str, metric: str) -> Any:
    (found,) = run.rows.query(f"source == '{source}' and metric == '{metric}' and split == '0'").itertuples()
    return found


def test_both_controls_have_a_row_and_find_another_format(in_two_formats: RunData) -> None:
    for source in ("control_content", "control_files"):
        found = row(in_two_formats, source, "control_auc")
        assert found.value > 0.95
        assert 0.5 < found.ci_low < found.value <= found.ci_high
        assert found.ci_method.startswith("10-fold cross-validation")
        assert found.n == 2 * SIDE


def test_the_warning_stands_in_front_of_every_number(in_two_formats: RunData) -> None:
    html = page_of(in_two_formats)
    first_number = html.index("In short")
    for text in ("image content alone tells members from decoys", "file facts (format", "Control without the model"):
        assert html.index(text) < first_number
    out = io.StringIO()
    Console(file=out, width=120).print(terminal(in_two_formats))
    shown = " ".join(out.getvalue().split())
    assert shown.startswith("Warning: image content alone tells members from decoys, without the model: AUC ")
    assert shown.index("Control without the model, by cross-validation: AUC") < shown.index("Claimed,")
    for table in (main_table(in_two_formats), attack_table(in_two_formats)):
        assert any("WARNING: image content alone tells members from decoys, AUC" in note for note in table.notes)


def test_near_copies_across_the_split_are_counted_and_named(in_two_formats: RunData) -> None:
    found = row(in_two_formats, "near_copies", "near_copies")
    assert (found.value, found.n) == (6, SIDE)
    said = " ".join((in_two_formats.folder.parent / "said").read_text().split())
    assert "near copies: 6 of 24 decoys are near copies of members (decoys/" in said
    pairs = (in_two_formats.folder / "pool" / "near_copies.csv").read_text().splitlines()
    assert sorted(pairs[1:]) == [f"decoys/{18 + i:03d}.jpg,members/{i:03d}.png" for i in range(6)]
    assert "6 of 24 decoys are near copies of members" in " ".join(main_table(in_two_formats).notes)


def test_an_auc_stands_beside_that_of_halves_of_the_decoys(in_two_formats: RunData) -> None:
    halves = row(in_two_formats, "loss", "auc_of_halves")
    assert halves.n == SIDE
    assert 0 <= halves.ci_low <= 0.5 <= halves.ci_high <= 1
    titles = [column.title for column in attack_table(in_two_formats).printed]
    assert titles.index("AUC of halves") == titles.index("AUC") + 1
    out = io.StringIO()
    Console(file=out, width=120).print(terminal(in_two_formats))
    assert f"halves [{halves.ci_low:.2f}, {halves.ci_high:.2f}]" in out.getvalue()
    assert "of halves" in [column.title for column in main_table(in_two_formats).printed]
    (headline,) = findings(in_two_formats).headline
    assert f"beside {halves.value:.2f} [" in headline.text


def test_the_page_lists_the_notes_on_files_and_the_number_of_each_class_folder(in_two_formats: RunData) -> None:
    html = page_of(in_two_formats)
    assert "<dt>files</dt><dd>near copies: 6 of 24 decoys are near copies of members (decoys/" in html
    assert dict(_facts({"classes": ["1", "10", "2"]}))["classes"] == "1 → 0, 10 → 1, 2 → 2"


def test_without_a_difference_the_controls_are_stated_and_nothing_warns(in_two_formats: RunData) -> None:
    rows = in_two_formats.rows.copy()
    rows.loc[rows["metric"] == "control_auc", ["value", "ci_low", "ci_high"]] = (0.52, 0.4, 0.64)
    rows.loc[rows["metric"] == "near_copies", ["value", "n"]] = (1, 100)
    run = RunData(in_two_formats.folder)
    run.__dict__["rows"] = rows
    del run.info["external_model"]["plausibility"]  # an untrained network is doubted
    out = io.StringIO()
    Console(file=out, width=120).print(terminal(run))
    assert out.getvalue().startswith("Control without the model, by cross-validation: AUC 0.52 [0.40, 0.64] on image")
    assert "warning" not in out.getvalue().lower()
    assert "1 of 100 decoys is a near copy of a member: pool/near_copies.csv has the pairs." in out.getvalue()
    assert not findings(run).cautions
