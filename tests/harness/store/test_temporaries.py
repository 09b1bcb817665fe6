"""A temporary is cleared when its writer has ended, and never before; a lock tells, not names, numbers or clocks."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from leakfront.errors import InputError
from leakfront.harness.store import temporaries
from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.locks import CANNOT, wait_for_lock
from leakfront.harness.store.run_folder import locked
from leakfront.harness.store.temporaries import aside, clear_temporaries, temporary_beside

WRITER = """
import sys
from pathlib import Path
from leakfront.harness.store.temporaries import temporary_beside
with temporary_beside(Path(sys.argv[1])) as place:
    place.mkdir()
    (place / "half.txt").write_text("half")
    print(place, flush=True)
    sys.stdin.read()
"""
HOUR = 3600


@contextmanager
def writer(path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Another process that writes something beside `path`: the process, and its temporary."""
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_temporary_stays_while_its_writer_lives_whatever_the_clocks_say_and_goes_with_it(tmp_path: Path) -> None:
    """Containers share host names and process numbers, and their clocks may be an hour apart."""
    with writer(tmp_path / "stage") as (process, place):
        assert not {socket.gethostname(), str(process.pid)} & set(place.name.split("."))
        for age in (2 * HOUR, 0, -HOUR):
            os.utime(place, times=(time.time() - age,) * 2)
            clear_temporaries(tmp_path)
            assert (place / "half.txt").exists()
        process.kill()
        assert process.stdout is not None
        process.stdout.read()  # until it ends; nobody has collected it yet
        os.utime(place, times=(time.time() + HOUR,) * 2)
        clear_temporaries(tmp_path)
        assert names(tmp_path) == []


def test_a_writer_that_ends_leaves_nothing(tmp_path: Path) -> None:
    with writer(tmp_path / "stage") as (process, place):
        assert process.stdin is not None
        process.stdin.close()
        process.wait()
        assert not place.exists()
    assert names(tmp_path) == []


def test_leftovers_of_earlier_versions_are_cleared(tmp_path: Path) -> None:
    (tmp_path / "cells").mkdir()
    host = f"host-{os.getppid()}-0123abcd"  # the number of a living process, which is not the writer
    for name in (f"cells/.stage.{host}.tmp", ".config.toml.1.tmp", f".run.json.{host}.tmp", ".a.0123456789abcdef.lock"):
        (tmp_path / name).write_text("")
    (tmp_path / "kept.txt").write_text("")
    clear_temporaries(tmp_path)
    assert names(tmp_path) == ["cells", "kept.txt"]


def test_a_lock_that_is_cleared_before_it_is_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = temporaries.try_lock, []

    def overtaken(descriptor: int, path: Path) -> bool:
        asked.append(path)
        if len(asked) == 1:
            clear_temporaries(tmp_path)  # by another process
            assert not path.exists()
        return real(descriptor, path)

    monkeypatch.setattr(temporaries, "try_lock", overtaken)
    with temporary_beside(tmp_path / "stage") as place:
        place.write_text("")
        clear_temporaries(tmp_path)
        assert place.exists()
        assert place.with_suffix(".lock") != asked[0]


def test_a_folder_moved_aside_by_a_killed_writer_is_restored_and_by_a_living_one_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "train.checkpoint"
    with writing(folder, "k") as place:
        (place / "file.txt").write_text("content")
    killed = tmp_path / ".train.checkpoint.0123456789abcdef.tmp"
    folder.rename(aside(killed, 0))
    killed.mkdir()
    clear_temporaries(tmp_path)
    assert stored_key(folder) == "k"
    with temporary_beside(folder) as mine:
        folder.rename(aside(mine, 0))
        clear_temporaries(tmp_path)
        assert not folder.exists()
    clear_temporaries(tmp_path)
    assert stored_key(folder) == "k"
    with writing(aside(killed, 1), "older"):
        pass
    clear_temporaries(tmp_path)
    assert stored_key(folder) == "k"
    assert [path.name for path in tmp_path.iterdir()] == ["train.checkpoint"]


@pytest.mark.parametrize("number", sorted(set(CANNOT)), ids=errno.errorcode.get)
def test_a_file_system_that_cannot_lock_is_refused_in_one_sentence(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", cannot)
    with pytest.raises(InputError, match=r"run lies on a file system that cannot lock files \(.*with --out"):  # noqa: SIM117
        with locked(Layout(tmp_path / "run")):
            pass
    with pytest.raises(OSError, match="the file system cannot lock files") as raised, writing(tmp_path / "stage", "k"):
        pass
    assert Path(raised.value.filename).parent == tmp_path
    assert names(tmp_path) == [".lock", "run"]


def test_waiting_for_a_lock_ends(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as one, (tmp_path / "a").open("w") as other:
        wait_for_lock(one.fileno(), tmp_path / "a", 0)
        with pytest.raises(TimeoutError, match="another process holds its lock"):
            wait_for_lock(other.fileno(), tmp_path / "a", 0)
