"""A report that may be shared gives no secret away, and says what it leaves out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image, PngImagePlugin

from leakfront.cli import main
from leakfront.errors import InputError
from leakfront.harness import shareable
from leakfront.harness.report import draw_report, draw_shareable
from leakfront.harness.store.artifacts import MANIFEST
from leakfront.harness.store.layout import Layout
from leakfront.results.figures import Figure, figures
from leakfront.results.run.data import RunData
from leakfront.results.run.shareable import Shareable
from leakfront.results.run.shareable_config import shareable_config
from leakfront.results.run.shown_names import LEFT_OUT, ShownNames
from tests.results.planted_secrets import COLOUR, FILE, FOLDER, HOME, NAMES, PROJECT, USER, run_with_secrets, secrets_in


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = run_with_secrets(tmp_path_factory.mktemp("secrets") / "run")
    with pytest.MonkeyPatch.context() as patch:  # two figures are enough to find everything
        patch.setattr("leakfront.results.report._names", lambda _: ["audit", "gallery"])
        draw_report([Layout(folder)], folder / "report")
    draw_shareable([Layout(folder)], folder / "shareable")
    return folder


def test_the_ordinary_report_gives_every_secret_away(run: Path) -> None:
    """So that the next test can fail."""
    found = secrets_in(run / "report")
    assert set(found) == {*NAMES, "pixels"}
    assert found["pixels"] == {"index.html", "images.html", "gallery.pdf", "gallery.png", "gallery.svg"}
    assert {"audit.svg", "audit.pdf", "main.csv", "main.tex", "main.md"} <= found["folder"]


def test_the_shareable_report_gives_none_away(run: Path) -> None:
    assert secrets_in(run / "shareable") == {}


def test_the_search_sees_metadata_and_packed_pictures(tmp_path: Path) -> None:
    about = PngImagePlugin.PngInfo()
    about.add_itxt("Comment", f"by {USER}", zip=True)
    Image.new("RGB", (40, 40), COLOUR).save(tmp_path / "one.png", pnginfo=about)
    assert secrets_in(tmp_path) == {"user": {"one.png"}, "pixels": {"one.png"}}
    (tmp_path / "one.png").rename(tmp_path / FILE)
    assert "file" in secrets_in(tmp_path)


def test_it_has_tables_figures_and_numbers_but_no_figure_with_images(run: Path) -> None:
    ours, whole = run / "shareable", run / "report"
    drawn = {path.stem for path in (ours / "figures").iterdir()}
    assert {"tradeoff", "membership", "roc", "audit"} <= drawn
    assert not drawn & {"gallery", "inpainting"}
    assert sorted(p.name for p in (ours / "tables").iterdir()) == sorted(p.name for p in (whole / "tables").iterdir())
    assert sorted(path.name for path in ours.iterdir()) == [
        "eval_results.yaml",
        "figures",
        "images.html",
        "index.html",
        MANIFEST,
        "model_card.md",
        "per_image.csv",
        "release.html",
        "tables",
    ]  # no signature
    theirs = (whole / "tables/main.csv").read_text().replace(f"{PROJECT}-loss", "attack-3")
    theirs = theirs.replace(f"{FOLDER} doubled,table={HOME}/x", "defense 3,strength 1")
    assert (ours / "tables/main.csv").read_text() == theirs


def test_it_says_what_it_leaves_out_and_the_ordinary_one_that_it_shows_images(run: Path) -> None:
    ours, whole = ((run / name / "index.html").read_text() for name in ("shareable", "report"))
    assert "<h2>What this report leaves out</h2>" in ours
    assert "“defense 3”, “attack-3”, “strength 1” stand for them" in ours
    assert "Nearest matches: not drawn, since this report may be shared" in ours
    assert "checksum left out (data set 1)" in ours
    assert "shows real images" not in ours
    assert "This page shows real images of the pool, members and decoys, and generated ones" in whole
    assert whole.index("This page shows real images") < whole.index("models were trained")
    assert "leaves out</h2>" not in whole


def test_a_page_without_images_does_not_warn(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leakfront.results.report._names", lambda _: ["cost"])
    page = draw_report([Layout(run)], tmp_path / "report").read_text()
    assert "shows real images" not in page


def test_figures_of_other_packages_are_left_out_unless_they_state_that_they_show_no_images() -> None:
    assert Figure.shows_images
    own = {name for name in figures.names() if not figures.offered_by(name)}
    shown: dict[str, Any] = {name: figures.get(name) for name in own}
    assert {name for name, figure in shown.items() if figure.shows_images} == {"gallery", "inpainting"}


def test_several_runs_are_drawn_together_and_told_apart(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leakfront.results.report._names", lambda _: [])
    other = Path(shutil.copytree(run, tmp_path / "other", ignore=shutil.ignore_patterns("report", "shareable")))
    for name in ("results.csv", "run.json"):
        text = (other / name).read_text().replace("ordinary", PROJECT).replace("sha256:abc", "sha256:def")
        (other / name).write_text(text)
    runs = [Layout(run), Layout(other)]
    with pytest.raises(InputError, match=r"dataset checksum is 'left out \(data set 1\)' in the first"):
        draw_shareable(runs, tmp_path / "both")
    page, _ = draw_shareable(runs, tmp_path / "both", force=True)
    assert secrets_in(tmp_path / "both") == {}
    assert "run 2: none" in page.read_text()


def test_the_command_writes_to_a_folder_of_its_own_and_says_what_it_leaves_out(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leakfront.results.report._names", lambda _: [])
    mine = Path(shutil.copytree(run, tmp_path / "mine", ignore=shutil.ignore_patterns("report", "shareable")))
    (mine / "config.toml").write_text("")
    result = CliRunner().invoke(main, ["report", str(mine), "--shareable"])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{mine / 'shareable' / 'index.html'}\n"
    assert "It leaves out:\n* Pictures" in result.stderr
    assert not (mine / "report").exists()
    (mine / "shareable" / MANIFEST).unlink()
    assert CliRunner().invoke(main, ["report", str(mine), "--shareable"]).exit_code == 2


NAMED = ShownNames(
    frozenset({USER}), frozenset({FOLDER, "photos 1", "data"}), frozenset({"dedup", "data"}), frozenset()
)


@pytest.mark.parametrize("label", ["dedup", "dedup+dedup", "batch 400", "rate 1/3", "ε = 1", "database", "", "data"])
def test_labels_that_say_nothing_of_the_run_are_shown(label: str) -> None:
    assert NAMED.shows(label)


@pytest.mark.parametrize(
    "label", [FOLDER, f"on {FOLDER.upper()}!", "attack-photos_1", f"{USER}'s", "a/b", "~x", "C:\\x", "x.PNG", "my data"]
)
def test_labels_with_names_and_paths_are_not(label: str) -> None:
    assert not NAMED.shows(label)


def test_texts_lose_paths_files_and_users_but_may_have_ordinary_words() -> None:
    kept = ["out of data and members / decoys", "see https://example.org/x", "(1 + decoys)/members", "left out: 1/3"]
    assert NAMED.of_texts({"a": kept}) == {"a": kept}
    for text in ("in /data/x", "~/x", f"by {USER}.", "of p17.jpeg", "C:\\x", "'/x'"):
        assert NAMED.of_text(text) == LEFT_OUT


def test_an_external_model_is_not_named_after_its_folder(run: Path) -> None:
    class External(RunData):
        external_model = property(lambda self: {"sha256": "0"})

    shown = Shareable(External(run), NAMED, number=2)
    assert (shown.info["name"], shown.info["title"]) == ("external model 2", "Attacks on an external model")


def test_a_shareable_run_has_no_images(run: Path) -> None:
    (shown,) = shareable.shareable_runs([Layout(run)])
    assert list(shown.pool) == ["copies"]
    assert shown.pool_of(shown.cells[0]) is shown.pool
    with pytest.raises(InputError, match="no generated images"):
        shown.samples(shown.cells[0])
    assert "score" in shown.scores(shown.cells[0], "attack-3")
    assert shown.info["config"]["data"] == {"dataset": "folder", "params": {"size": 8}, "pool": 96}
    assert shown.info["config"]["model"] == {"name": "unet", "weights": LEFT_OUT}
    assert HOME not in str(shown.info)
    assert set(shown.rows["dataset"]) == {"folder"}
    config = {"data": {"params": {"class_order": ["anna", "ben"], "size": 8}}}
    hidden = shareable_config(config, NAMED, {}, {})
    assert hidden == {"data": {"params": {"class_order": [LEFT_OUT, LEFT_OUT], "size": 8}}}
