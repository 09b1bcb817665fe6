"""Every file in a folder or archive of images is read, named in one sentence, or skipped and counted."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings

from tests.containment import attempt, warm_up
from tests.hostile_archives import ARCHIVES, archive_complaint
from tests.hostile_images import (
    CONTENTS,
    HEAVY,
    SPECIAL,
    File,
    Folder,
    hostile_folders,
    settings_for,
    write_good,
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    warm_up()
    folder = tmp_path_factory.mktemp("folders")
    write_good(folder / "good")
    return folder


@pytest.mark.parametrize("kind", sorted({*CONTENTS, *SPECIAL} - HEAVY))
def test_a_file_of_every_kind_meets_its_fate(place: Path, kind: str) -> None:
    file = File(b"a\nerror: b", kind)
    assert not Folder((file,), b"a", skip_bad=file.fate == "bad").complaint(place)


@settings(max_examples=40, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(folder=hostile_folders(heavy=False))
def test_hostile_folders_are_refused_by_name_or_skipped_and_counted(place: Path, folder: Folder) -> None:
    assert not folder.complaint(place)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_hostile_archives_are_refused_by_name(
    place: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not archive_complaint(kind, place)
    assert not list(tmp_path.iterdir())  # nothing was unpickled or computed


def test_a_folder_for_an_archive_is_not_searched(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "rglob", lambda *_: pytest.fail("all files below were listed"))
    config = place / "c.toml"
    config.write_text(tomli_w.dumps(settings_for(f"npz:{place}", {})))
    said, result = attempt(["run", str(config), "--dry-run", "--out", str(place / "run")], ["is not a file"])
    assert not said
    assert result is not None
    assert result.exit_code == 2


def test_images_that_memory_cannot_hold_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from leakfront.datasets import folder, npz, open_dataset
    from leakfront.errors import InputError

    for module in (folder, npz):
        monkeypatch.setattr(module, "memory", lambda: 1024)
    with pytest.raises(InputError, match="the 150 images in"):
        open_dataset(f"folder:{place / 'good'}").load()
    (place / "b.npz").write_bytes(ARCHIVES["large and truly there"]())
    with pytest.raises(InputError, match="more than half the memory"):
        open_dataset(f"npz:{place / 'b.npz'}").load()
