"""Captions: made for handwritten digits, or read from the files of a folder, and refused in one sentence."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leakfront.datasets import open_dataset
from leakfront.datasets.captions.handwriting import handwriting_captions, slant
from leakfront.errors import InputError
from leakfront.testing import check_dataset
from tests.datasets.test_datasets import grey, save

DIGITS = open_dataset("captioned_digits").load()


# made for digits


def test_captioned_digits_are_the_digits_each_with_a_caption_of_its_own() -> None:
    check_dataset(open_dataset("captioned_digits"))
    plain = open_dataset("digits").load()
    assert np.array_equal(DIGITS.images, plain.images)
    assert np.array_equal(DIGITS.labels, plain.labels)
    assert DIGITS.captions is not None
    assert len(set(DIGITS.captions)) == 1797
    assert DIGITS.captions[7].startswith("a handwritten seven by ")


def test_every_word_stands_in_many_captions() -> None:
    counts = Counter(word for caption in DIGITS.captions or () for word in set(caption.split()))
    assert len(counts) == 10 + 24 + 24 + 8 + 3  # digits, names, slants and strokes, "a handwritten … by"
    assert min(counts.values()) >= 40


def test_captions_say_what_the_image_shows() -> None:
    lean = np.eye(8, dtype=np.uint8)[::-1][None, None] * 200  # from the lower left to the upper right
    assert slant(lean)[0] > 0.9
    assert slant(lean[..., ::-1])[0] < -0.9
    assert slant(np.zeros((1, 1, 8, 8), np.uint8))[0] == 0
    by_slant = np.argsort(slant(DIGITS.images))
    captions = np.array(DIGITS.captions)
    assert all("slanted left" in text for text in captions[by_slant[:500]])
    assert all("slanted right" in text for text in captions[by_slant[-500:]])
    by_ink = np.argsort(DIGITS.images.mean((1, 2, 3)), kind="stable")
    assert all("thin strokes" in text for text in captions[by_ink[:500]])


def test_more_digits_need_more_writers() -> None:
    images, labels = np.zeros((600, 1, 8, 8), np.uint8), np.zeros(600, np.int64)
    with pytest.raises(ValueError, match="more than 576 images that look alike"):
        handwriting_captions(images, labels)
    captions = handwriting_captions(images, labels, ("lima", "turin"))
    assert len(set(captions)) == 600
    assert " of lima, " in " ".join(captions)


# of folders


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, name in enumerate(("b/0.png", "a/1.png", "a/0.png")):
        save(tmp_path, name, grey(number))
    return tmp_path


def lines(*entries: Any) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


PAIRS = [("a/0.png", "a dog,  at\nnight"), ("a/1.png", "ein Hündchen 🐕‍🦺"), ("b/0.png", "a \u2028 cat")]
CLEAN = ("a dog, at night", "ein Hündchen 🐕‍🦺", "a cat")


def as_jsonl(folder: Path) -> None:
    entries = [{"file_name": name, "text": text, "more": [1]} for name, text in reversed(PAIRS)]
    (folder / "metadata.jsonl").write_text("\n" + lines(*entries).replace("\\u2028", "\u2028"))


def as_csv(folder: Path) -> None:
    rows = "".join(f'"{text}",{name}\n' for name, text in PAIRS)
    (folder / "metadata.csv").write_text(f"\ufefftext,file_name\n{rows}")


def as_texts(folder: Path) -> None:
    for name, text in PAIRS:
        (folder / name).with_suffix(".txt").write_text(f"{text}\n")


@pytest.mark.parametrize("write", [as_jsonl, as_csv, as_texts])
def test_captions_come_with_their_images(folder: Path, write: Any) -> None:
    write(folder)
    dataset = open_dataset(f"folder:{folder}", captions=True)
    check_dataset(dataset)
    assert dataset.load().captions == CLEAN
    assert dataset.load().notes == ()
    plain = open_dataset(f"folder:{folder}").load()
    assert plain.captions is None
    assert "of another ending and left out (" in plain.notes[0]


@pytest.mark.parametrize("write", [as_jsonl, as_csv, as_texts])
def test_an_edited_caption_is_another_data_set(folder: Path, write: Any) -> None:
    write(folder)
    with_captions, without = open_dataset(f"folder:{folder}", captions=True), open_dataset(f"folder:{folder}")
    before = with_captions.fingerprint(), without.fingerprint()
    for path in [*folder.glob("metadata.*"), *folder.rglob("*.txt")]:
        path.write_text(path.read_text().replace("dog", "hound"))
    assert with_captions.fingerprint() != before[0]
    assert without.fingerprint() == before[1]


def test_an_image_left_out_takes_its_caption_along(folder: Path) -> None:
    as_jsonl(folder)
    (folder / "a" / "0.png").write_bytes(b"")
    assert open_dataset(f"folder:{folder}", captions=True, skip_bad=True).load().captions == CLEAN[1:]


def test_members_and_decoys_have_captions(folder: Path) -> None:
    as_texts(folder)
    data = open_dataset("members_decoys", members=str(folder / "a"), decoys=str(folder / "b"), captions=True)
    assert data.load().captions == CLEAN
    assert data.load().notes == ()
    assert len(data.listed()["members"]) == 4
    (folder / "b" / "0.txt").unlink()
    with pytest.raises(InputError, match="has no captions"):
        data.load()


GOOD = {"file_name": "a/0.png", "text": "x"}


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, r"has no captions: no metadata\.jsonl, no metadata\.csv, and no \.txt file beside an image"),
        ({"metadata.jsonl": ""}, r"3 of the 3 images .* have no caption.* the first of them a/0\.png"),
        ({"metadata.jsonl": lines(GOOD)}, r"2 of the 3 images .* the first of them a/1\.png"),
        ({"a/0.txt": "x", "a/1.txt": " \n", "b/0.txt": "x"}, r"1 of the 3 images .*, or an empty one.* a/1\.png"),
        ({"metadata.jsonl": lines(GOOD, GOOD)}, "line 2, has a second caption for 'a/0.png'"),
        ({"metadata.jsonl": lines({**GOOD, "file_name": "a/9.png"})}, r"'a/9\.png', which is no image in"),
        ({"metadata.jsonl": lines({"file_name": "a/0.png"})}, "line 1, must have the texts file_name and text"),
        ({"metadata.jsonl": lines([1])}, "line 1, must be an object"),
        ({"metadata.jsonl": "{"}, r"line 1, cannot be read as JSON"),
        ({"metadata.jsonl": "[" * 100_000}, "line 1, cannot be read as JSON .it is nested deeper"),
        ({"metadata.jsonl": lines({**GOOD, "text": "x\0"})}, "has a caption with control codes"),
        ({"metadata.jsonl": lines({**GOOD, "text": "x" * 20_000})}, "20,000 characters; at most 16,384"),
        ({"metadata.csv": "file_name,caption\na/0.png,x\n"}, "has no column text"),
        ({"metadata.csv": 'file_name,text\na/0.png,"x\n'}, "cannot be read as CSV"),
        ({"metadata.csv": "file_name,text\na/0.png\n"}, "must have the texts file_name and text"),
        ({"metadata.csv": "", "metadata.jsonl": ""}, r"both metadata\.jsonl and metadata\.csv; remove one"),
        ({"metadata.csv": "", "a/0.txt": ""}, r"metadata\.csv and also a/0\.txt beside an image; remove one"),
        ({"a/0.txt": b"\xff"}, r"0\.txt cannot be read as UTF-8 text"),
    ],
)
def test_bad_captions_are_refused_in_one_sentence(folder: Path, files: dict[str, Any], says: str) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=says) as caught:
        open_dataset(f"folder:{folder}", captions=True).load()
    assert "\n" not in str(caught.value)


def test_two_images_of_one_name_cannot_share_a_caption(folder: Path) -> None:
    as_texts(folder)
    save(folder, "a/0.jpg", grey(5))
    with pytest.raises(InputError, match=r"a/0\.txt is beside 2 images of that name"):
        open_dataset(f"folder:{folder}", captions=True).load()


def test_a_caption_outside_of_the_folder_is_not_read(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.txt"
    secret.write_text("a secret")
    as_texts(folder)
    (folder / "a" / "0.txt").unlink()
    (folder / "a" / "0.txt").symlink_to(secret)
    with pytest.raises(InputError, match="is a link that leads out of"):
        open_dataset(f"folder:{folder}", captions=True).load()


def test_a_caption_that_is_a_pipe_is_not_waited_for(folder: Path) -> None:
    as_texts(folder)
    (folder / "a" / "0.txt").unlink()
    os.mkfifo(folder / "a" / "0.txt")
    with pytest.raises(InputError, match="not a regular file"):
        open_dataset(f"folder:{folder}", captions=True).load()
