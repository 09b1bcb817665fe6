"""`leakfront report` shows a page only if this installation drew it; any other is drawn anew."""

from __future__ import annotations

import errno
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from leakfront.harness.report import draw_report
from leakfront.harness.store.artifacts import MANIFEST, read_manifest, write_manifest, writing
from leakfront.harness.store.installation import KEY
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.own_pages import SIGNATURE, is_own, sign
from tests.few_figures import only
from tests.synthetic_run import TWO, synthetic_run
from tests.test_cli import invoke, refused


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state folder of somebody who has drawn nothing yet."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "leakfront"


def page(folder: Path) -> Path:
    with writing(folder, "key") as place:
        (place / "index.html").write_text("drawn")
    sign(folder)
    return folder


def test_our_own_page_is_known_wherever_it_lies(state: Path, tmp_path: Path) -> None:
    drawn = page(tmp_path / "report")
    assert is_own(drawn, "key")
    assert not is_own(drawn, "another key")
    assert is_own(Path(shutil.copytree(drawn, tmp_path / "moved")), "key")
    assert stat.S_IMODE((state / KEY).stat().st_mode) == 0o600
    assert len((state / KEY).read_bytes()) == 32
    assert [path.name for path in state.iterdir()] == [KEY]


def test_a_page_of_another_installation_is_not_ours(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = page(tmp_path / "report")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert not is_own(drawn, "key")


def test_a_changed_page_is_not_ours_even_with_new_checksums(state: Path, tmp_path: Path) -> None:
    drawn = page(tmp_path / "report")
    size = (drawn / "index.html").stat().st_size
    (drawn / "index.html").write_text("e" * size)
    assert not is_own(drawn, "key")
    write_manifest(drawn, "key", ["index.html"])
    assert not is_own(drawn, "key")
    assert is_own(page(drawn), "key")
    for signature in (b"", b"\xff" * 64, b"0" * 64):
        (drawn / SIGNATURE).write_bytes(signature)
        assert not is_own(drawn, "key")
    (drawn / SIGNATURE).unlink()
    assert not is_own(drawn, "key")


def test_a_page_with_a_link_is_not_ours(state: Path, tmp_path: Path) -> None:
    drawn = page(tmp_path / "report")
    (drawn / "index.html").rename(tmp_path / "index.html")
    (drawn / "index.html").symlink_to(tmp_path / "index.html")
    assert not is_own(drawn, "key")


def test_without_a_key_of_ones_own_no_page_is_known(state: Path, tmp_path: Path) -> None:
    drawn = page(tmp_path / "report")
    key = state / KEY
    key.chmod(0o644)  # others could have read it
    assert not is_own(drawn, "key")
    key.chmod(0o600)
    assert is_own(drawn, "key")
    content = key.read_bytes()
    key.write_bytes(b"")
    assert not is_own(drawn, "key")
    key.unlink()
    (tmp_path / "elsewhere").write_bytes(content)
    key.symlink_to(tmp_path / "elsewhere")
    assert not is_own(drawn, "key")
    shutil.rmtree(state)
    state.write_text("no folder can be made here")
    assert not is_own(drawn, "key")
    (drawn / SIGNATURE).unlink()
    sign(drawn)
    assert not (drawn / SIGNATURE).exists()


@pytest.fixture
def one_figure() -> Iterator[None]:
    with only("tradeoff"):
        yield


@pytest.mark.usefixtures("one_figure")
def test_a_page_that_the_sender_wrote_is_drawn_anew(state: Path, tmp_path: Path) -> None:
    """The key, the sizes and the checksums are right: whoever sends the folder can make them so."""
    layout = Layout(
        synthetic_run(tmp_path / "run", TWO[:1], splits=1, pool=128, samples=150, attacks=("extraction", "loss")).folder
    )
    drawn = draw_report([layout], layout.report)
    honest, manifest = drawn.read_bytes(), read_manifest(layout.report)
    assert manifest is not None
    drawn.write_bytes(b"evil" * (len(honest) // 4) + b"!" * (len(honest) % 4))
    write_manifest(layout.report, manifest["key"], manifest["files"])
    assert draw_report([layout], layout.report).read_bytes() == honest
    when = drawn.stat().st_mtime_ns
    assert draw_report([layout], layout.report).stat().st_mtime_ns == when
    (layout.report / MANIFEST).write_text("{}")
    assert draw_report([layout], layout.report).read_bytes() == honest


def test_a_report_of_somebody_else_in_a_folder_that_cannot_be_written_to_is_one_sentence(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    page(run / "report")
    for name in ("config.toml", "results.csv", "run.json"):
        (run / name).write_text("")

    def refuse(runs: object, folder: Path, *more: object, **named: object) -> None:
        if folder.is_relative_to(run):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))

    monkeypatch.setattr("leakfront.harness.report.draw_report", refuse)
    said = refused(invoke("report", run))
    assert said == (
        f"error: {run / 'report'} cannot be written to (Permission denied); the report in it was drawn elsewhere or is "
        "out of date; give a folder of your own with --out"
    )
    assert invoke("report", run, "--out", tmp_path / "mine").exit_code == 0
