"""Every data set keeps to the contract, and one of another package needs nothing but `load`."""

from __future__ import annotations

import dataclasses
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

from leakfront.datasets import Dataset, LabelledImages, open_dataset, registry
from leakfront.datasets.folder import ImageFolder
from leakfront.errors import InputError


@dataclass(frozen=True)
class Elsewhere(Dataset):
    """A data set as another package would write it."""

    source: str
    more: str | None = None

    places: ClassVar[tuple[str, ...]] = ("source", "more")

    def load(self) -> LabelledImages:
        return LabelledImages(np.zeros((1, 1, 2, 2), np.uint8), np.zeros(1, np.int64))


def write(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8), dtype=np.uint8)).save(path)
    return path


@pytest.mark.parametrize("name", registry.names())
def test_every_data_set_keeps_to_the_contract(name: str) -> None:
    kind = registry.get(name)
    assert issubclass(kind, Dataset)
    assert kind.name == name
    fields = {field.name: field for field in dataclasses.fields(kind)}
    assert set(kind.places) <= set(fields)
    assert {"path", "root"} & set(fields) <= set(kind.places)
    assert kind.known_membership == (kind.count is not Dataset.count)
    assert kind.load is not Dataset.load


def test_digits_have_no_places_and_coins_decide_their_membership() -> None:
    digits = open_dataset("digits")
    assert (digits.known_membership, digits.has_outside) == (False, True)
    assert (digits.listed(), digits.fingerprint()) == ({}, [])


def test_of_a_data_set_that_torchvision_reads_only_its_own_files_count(tmp_path: Path) -> None:
    write(tmp_path / "something_else.png")
    mnist = open_dataset("mnist", root=str(tmp_path))
    assert (mnist.facts(), mnist.fingerprint()) == ([], [["root", []]])


def test_a_fingerprint_follows_the_files_and_not_where_they_lie(tmp_path: Path) -> None:
    for name in ("a/0.png", "a/1.png", "b/0.png"):
        write(tmp_path / "here" / name)
    before = open_dataset(f"folder:{tmp_path / 'here'}").fingerprint()
    assert [name for name, *_ in before[0][1]] == ["a/0.png", "a/1.png", "b/0.png"]
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    assert open_dataset(f"folder:{tmp_path / 'there'}").fingerprint() == before
    facts = open_dataset(f"folder:{tmp_path / 'there'}").facts()
    os.utime(tmp_path / "there" / "b" / "0.png", (0, 0))
    assert open_dataset(f"folder:{tmp_path / 'there'}").fingerprint() == before
    assert open_dataset(f"folder:{tmp_path / 'there'}").facts() != facts
    (tmp_path / "there" / "notes.txt").write_text("no image")
    assert open_dataset(f"folder:{tmp_path / 'there'}").fingerprint() == before
    (tmp_path / "there" / "b" / "0.png").write_bytes(b"another")
    assert open_dataset(f"folder:{tmp_path / 'there'}").fingerprint() != before


def test_members_and_decoys_are_told_apart_in_a_fingerprint(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write(tmp_path / folder / "0.png")
    shutil.copystat(tmp_path / "a" / "0.png", tmp_path / "b" / "0.png")
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    one = open_dataset("members_decoys", members=a, decoys=b)
    assert [place for place, _ in one.fingerprint()] == ["members", "decoys"]
    assert (one.known_membership, one.has_outside, one.count()) == (True, False, 2)
    with_reference = open_dataset("members_decoys", members=a, decoys=b, reference=a)
    assert with_reference.has_outside
    assert [place for place, _ in with_reference.fingerprint()] == ["members", "decoys", "reference"]
    assert with_reference.count() == 2


def test_by_default_a_data_set_consists_of_all_files_below_its_places(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b" / "0.png")
    (tmp_path / "a" / "list.txt").write_text("x")
    (tmp_path / "file").write_text("y")
    assert Elsewhere(str(tmp_path / "a")).listed() == {
        "source": [tmp_path / "a" / "b" / "0.png", tmp_path / "a" / "list.txt"]
    }
    both = Elsewhere(str(tmp_path / "a"), str(tmp_path / "file"))
    assert both.listed()["more"] == [tmp_path / "file"]
    assert [len(facts) for _, facts in both.fingerprint()] == [2, 1]
    assert Elsewhere(str(tmp_path / "missing")).fingerprint() == [["source", []]]


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"size": 0}, "data.params.size is 0; it must lie in 1 … 4096"),
        ({"size": 8.0}, "data.params.size is 8.0; it must be a whole number and lie in 1 … 4096: write 8"),
        ({"size": True}, "data.params.size is True; it must be a whole number and lie in 1 … 4096"),
        ({"mode": "gray"}, "data.params.mode is 'gray'; it must be 'grey' or 'rgb'"),
        ({"skip_bad": "yes"}, "data.params.skip_bad is 'yes'; it must be true or false"),
    ],
)
def test_a_wrong_parameter_is_named_as_in_a_config(tmp_path: Path, params: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError) as caught:
        ImageFolder(str(tmp_path), **params)
    assert str(caught.value) == says
    with pytest.raises(InputError) as caught:
        open_dataset(f"folder:{tmp_path}", **params)
    assert str(caught.value) == f"dataset 'folder:{tmp_path}': {says}"
    with pytest.raises(InputError, match=r"'members_decoys': data\.params\."):
        open_dataset("members_decoys", members=str(tmp_path), decoys=str(tmp_path), **params)


def test_a_path_may_be_a_path(tmp_path: Path) -> None:
    write(tmp_path / "0.png")
    assert ImageFolder(tmp_path) == open_dataset("folder", path=tmp_path)  # type: ignore[arg-type]
    assert len(ImageFolder(tmp_path).load()) == 1  # type: ignore[arg-type]
