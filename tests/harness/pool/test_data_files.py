"""What a data set's files hold is part of the pool's key; it is read anew only where a file may have changed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from leakfront.datasets import Dataset, open_dataset
from leakfront.datasets import contract as contract_module
from leakfront.errors import InputError
from leakfront.harness.execution.process import Task
from leakfront.harness.execution.process import plan_of as plan_of_task
from leakfront.harness.plan.make import make_plan
from leakfront.harness.pool import data_files
from leakfront.harness.pool.data_files import RECORD, DataFiles, examine, record
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.store.layout import Layout
from tests.small_config import small


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as settled at once."""
    monkeypatch.setattr(data_files, "SETTLED_SECONDS", -1e6)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(6):
        pixels = np.full((8, 8), 40 * number, np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.bmp")
    return folder


def settings(folder: Path) -> dict[str, Any]:
    data = {"dataset": f"folder:{folder}", "pool": 4, "reference": 1}
    return small(data=data, metrics__names=[], statistics__audit_guesses=2)


def of(folder: Path) -> Dataset:
    return open_dataset(f"folder:{folder}")


def replaced(path: Path, by: bytes) -> None:
    """Replace a file in place by another of the same size, and give it the old time."""
    before = path.stat()
    assert len(by) == before.st_size
    path.write_bytes(by)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are hashed from now on."""
    read: list[Path] = []
    known = contract_module._checksum
    monkeypatch.setattr(contract_module, "_checksum", lambda path, most: (read.append(path), known(path, most))[1])
    return read


def test_a_file_replaced_in_place_with_its_size_and_time_changes_the_key_of_the_pool(
    images: Path, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "run")
    layout.root.mkdir()
    config = parse_config(settings(images))

    def key() -> str:
        plan = make_plan(config, layout)
        record(plan.data, layout)
        return plan.keys["pool"]

    before = key()
    assert key() == before
    replaced(images / "0.bmp", (images / "5.bmp").read_bytes())
    assert key() != before


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_data_set_of_torchvision_is_known_by_what_its_files_hold(name: str, tmp_path: Path) -> None:
    folder = tmp_path / {"mnist": "MNIST", "fashion_mnist": "FashionMNIST"}[name] / "raw"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte").write_bytes(b"one")
    (folder / "beside.txt").write_bytes(b"not read by torchvision")
    before = examine(open_dataset(name, root=str(tmp_path)))
    (folder / "beside.txt").write_bytes(b"")
    assert examine(open_dataset(name, root=str(tmp_path))).content == before.content
    replaced(folder / "train-images-idx3-ubyte", b"two")
    assert examine(open_dataset(name, root=str(tmp_path))).content != before.content


def test_a_download_comes_before_the_files_are_examined(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the key of the first run would be that of no files, and the second would train everything again."""
    from leakfront.datasets.mnist import MNIST

    def read(self: MNIST) -> Any:
        (tmp_path / "MNIST" / "raw").mkdir(parents=True, exist_ok=True)
        for file in self.files(self._reader()):
            (tmp_path / file).write_bytes(b"downloaded")

    monkeypatch.setattr(MNIST, "_read", read)
    assert examine(open_dataset("mnist", root=str(tmp_path))).facts == ""
    first = examine(open_dataset("mnist", root=str(tmp_path), download=True))
    assert first.facts
    assert examine(open_dataset("mnist", root=str(tmp_path), download=True)) == first


def test_moved_and_copied_files_hold_the_same(images: Path, tmp_path: Path) -> None:
    """A copy has other times and numbers, so it is read, and keeps the key of the pool."""
    shutil.copytree(images, tmp_path / "copy", copy_function=shutil.copyfile)
    here, there = examine(of(images)), examine(of(tmp_path / "copy"))
    assert here.content == there.content
    assert here.facts != there.facts


def test_files_are_read_again_only_if_one_may_have_changed(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path / "run")
    layout.root.mkdir()
    read = count_reads(monkeypatch)
    first = examine(of(images), layout)
    record(first, layout)
    assert len(read) == 6
    assert examine(of(images), layout) == first
    assert len(read) == 6
    (images / "0.bmp").touch()
    again = examine(of(images), layout)
    assert len(read) == 12
    assert (again.content, again.facts != first.facts) == (first.content, True)


def test_files_that_changed_a_moment_ago_are_read_again_next_time(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They might change once more within the same tick of the file system's clock."""
    monkeypatch.setattr(data_files, "SETTLED_SECONDS", 2.0)
    layout = Layout(tmp_path / "run")
    layout.root.mkdir()
    (images / "0.bmp").touch()
    found = examine(of(images), layout)
    assert found.facts == ""
    record(found, layout)
    assert not (layout.root / RECORD).exists()


@pytest.mark.parametrize("damage", ["{}", "", "[1]", '{"content": 1}', "changed"])
def test_a_damaged_record_counts_as_none(damage: str, images: Path, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "run")
    layout.root.mkdir()
    found = examine(of(images), layout)
    record(found, layout)
    held = json.loads((layout.root / RECORD).read_text())
    text = json.dumps({**held, "content": "0" * 64}) if damage == "changed" else damage
    (layout.root / RECORD).write_text(text)
    assert examine(of(images), layout) == found


def test_a_record_that_is_a_link_is_not_opened(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layout = Layout(tmp_path / "run")
    layout.root.mkdir()
    record(examine(of(images), layout), layout)
    (layout.root / RECORD).rename(tmp_path / "elsewhere.json")
    (layout.root / RECORD).symlink_to(tmp_path / "elsewhere.json")
    read = count_reads(monkeypatch)
    examine(of(images), layout)
    assert len(read) == 6


def test_a_file_that_is_too_large_for_a_picture_is_not_read_to_its_end(images: Path) -> None:
    """A folder of somebody else may hold a file of terabytes that takes no place on the disk."""
    with (images / "0.bmp").open("r+b") as file:
        file.truncate(2**40)
    one = examine(of(images)).content
    with (images / "0.bmp").open("r+b") as file:
        file.truncate(2**40 + 1)
    assert examine(of(images)).content != one


def test_a_data_set_without_files_has_nothing_to_record(tmp_path: Path) -> None:
    found = examine(open_dataset("digits"), Layout(tmp_path))
    record(found, Layout(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_files_are_listed_once_a_run_and_by_no_worker(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from leakfront.datasets import folder as module

    listed: list[Path] = []
    known = module.list_folder
    monkeypatch.setattr(module, "list_folder", lambda root: (listed.append(root), known(root))[1])
    config = parse_config(settings(images))
    plan = make_plan(config)
    plan.dataset.load()
    assert len(listed) == 1
    task = Task("extractor", Path(), config.model_dump_json(), data=plan.data.content)
    assert plan_of_task(task).keys == plan.keys
    assert len(listed) == 1


def test_a_worker_does_not_need_the_files(images: Path) -> None:
    """Nodes of a cluster read the pool in the run's folder."""
    both = {"members": str(images), "decoys": str(images)}
    data = {"dataset": "members_decoys", "params": both, "pool": 12}
    config = parse_config(small(data=data, splits=1, metrics__names=[]))
    plan = make_plan(config)
    shutil.rmtree(images)
    with pytest.raises(InputError, match="does not exist"):
        make_plan(config)
    assert make_plan(config, data=plan.data.content).cells[0].keys == plan.cells[0].keys
    assert make_plan(config, data=plan.data.content).data == DataFiles(plan.data.content)
