"""Training time against FID and against what leaks: extracted images, or an AUC where no extraction was measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from leakfront.results.figures import NotDrawn, figures
from leakfront.results.run.data import RunData
from tests.results.test_report import drawn
from tests.synthetic_run import TWO, synthetic_run


def labels(run: RunData) -> list[str]:
    return [ax.get_ylabel() for ax in drawn("cost", run).figure.axes]


def without(run: RunData, folder: Path, *sources: str) -> RunData:
    """The run without the rows of these sources."""
    folder.mkdir()
    run.rows[~run.rows["source"].isin(sources)].to_csv(folder / "results.csv", index=False, na_rep="nan")
    (folder / "run.json").write_bytes((run.folder / "run.json").read_bytes())
    return RunData(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    return synthetic_run(tmp_path_factory.mktemp("run"), TWO, pool=128, samples=150, attacks=("extraction", "loss"))


def test_extracted_images_stand_below_fid(run: RunData) -> None:
    assert labels(run) == ["FID", "extracted, 5% FDR"]
    caption = drawn("cost", run).caption
    assert "against FID (above) and images extracted at the run's false-discovery rate (below; square-root" in caption


def test_without_extraction_it_is_the_auc_of_the_attack_in_front(run: RunData, tmp_path: Path) -> None:
    rest = without(run, tmp_path / "loss", "extraction")
    assert labels(rest) == ["FID", "AUC of\nloss"]
    assert "against FID (above) and the AUC of loss (below)." in drawn("cost", rest).caption
    figure = drawn("cost", rest).figure
    heights = sorted(float(line.get_ydata()[0]) for line in figure.axes[1].lines if line.get_marker() != "None")
    aucs = [rest.summary.value(point, "loss", "auc") for point in rest.summary.points]
    assert heights == pytest.approx(sorted(auc.value for auc in aucs if auc is not None))


def test_a_panel_without_numbers_is_left_out(run: RunData, tmp_path: Path) -> None:
    rest = without(run, tmp_path / "quality", "extraction", "loss")
    assert labels(rest) == ["FID"]
    assert "against FID. Bars" in drawn("cost", rest).caption
    nothing = without(run, tmp_path / "nothing", "extraction", "loss", "fid")
    assert figures.get("cost")().draw(nothing) == NotDrawn("neither FID nor leakage was measured")
