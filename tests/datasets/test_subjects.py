"""Subjects are named by a sub-folder, a column or a regular expression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from leakfront.datasets.folder import ImageFolder
from leakfront.datasets.members_decoys import MembersDecoys
from leakfront.errors import InputError


def saved(root: Path, names: list[str], first: int = 0) -> str:
    for number, name in enumerate(names, start=first):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name)
    return str(root)


def test_a_sub_folder_is_a_subject_and_no_class(tmp_path: Path) -> None:
    found = ImageFolder(saved(tmp_path, ["ann/1.png", "ann/2.png", "bob/1.png"]), subjects="folder").load()
    assert found.subjects == ("ann", "ann", "bob")
    assert found.classes == ("all",)


def test_a_regular_expression_finds_it_in_the_name(tmp_path: Path) -> None:
    place = saved(tmp_path, ["p1_a.png", "p1_b.png", "p22_a.png"])
    assert ImageFolder(place, subjects="regex:^(p[0-9]+)_").load().subjects == ("p1", "p1", "p22")
    assert ImageFolder(place, subjects="regex:^p[0-9]").load().subjects == ("p1", "p1", "p2")


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_a_column_names_it_and_counts_as_a_file_of_the_data(tmp_path: Path, name: str) -> None:
    place = saved(tmp_path, ["1.png", "2.png"])
    text = {
        "metadata.csv": "file_name,who\n1.png,ann\n2.png,bob\n",
        "metadata.jsonl": '{"file_name": "1.png", "who": "ann"}\n{"file_name": "2.png", "who": "bob"}\n',
    }
    (tmp_path / name).write_text(text[name])
    folder = ImageFolder(place, subjects="column:who")
    assert folder.load().subjects == ("ann", "bob")
    assert tmp_path / name in folder.listed()["path"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("person", "must be folder, column:NAME or regex:PATTERN"),
        ("folder", "names no subject for 2 of the 2 images"),
        ("column:who", "has no metadata.csv and no metadata.jsonl"),
        ("regex:^(x)", "names no subject for 2 of the 2 images .*, the first of them 1.png"),
        ("regex:(", "no regular expression"),
        ("regex:(a)(b)", "one plain group is enough"),
        ("regex:(1+)+x", "one plain group is enough"),
    ],
)
def test_what_names_no_subject_is_one_sentence(tmp_path: Path, rule: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ImageFolder(saved(tmp_path, ["1.png", "2.png"]), subjects=rule).load()


def test_nobody_is_both_member_and_decoy(tmp_path: Path) -> None:
    members = saved(tmp_path / "members", ["ann_1.png", "bob_1.png"])
    decoys = saved(tmp_path / "decoys", ["cat_1.png", "bob_2.png"], first=5)
    with pytest.raises(InputError, match="the subject 'bob' has images in both members and decoys"):
        MembersDecoys(members, decoys, subjects="regex:^([a-z]+)_").load()
    (tmp_path / "decoys" / "bob_2.png").rename(tmp_path / "decoys" / "cat_2.png")
    found = MembersDecoys(members, decoys, subjects="regex:^([a-z]+)_").load()
    assert sorted(set(found.subjects or ())) == ["ann", "bob", "cat"]
    others = saved(tmp_path / "others", ["dan_1.png", "ann_2.png"], first=9)
    with pytest.raises(InputError, match="the subject 'ann' has images in both members and reference"):
        MembersDecoys(members, decoys, reference=others, subjects="regex:^([a-z]+)_").load()


def test_a_column_that_names_two_subjects_of_an_image_is_refused(tmp_path: Path) -> None:
    folder = ImageFolder(saved(tmp_path, ["1.png", "2.png"]), subjects="column:who")
    rows = "file_name,who\n1.png,ann\n2.png,bob\n1.png,{}\n"
    (tmp_path / "metadata.csv").write_text(rows.format("ann"))
    assert folder.load().subjects == ("ann", "bob")
    (tmp_path / "metadata.csv").write_text(rows.format("eve"))
    with pytest.raises(InputError, match=r"names two subjects of 1\.png, 'ann' and 'eve'; leave one"):
        folder.load()
    (tmp_path / "metadata.jsonl").write_text("")
    with pytest.raises(InputError, match=r"has both metadata\.csv and metadata\.jsonl"):
        folder.load()


def test_zero_is_a_subject(tmp_path: Path) -> None:
    folder = ImageFolder(saved(tmp_path, ["1.png", "2.png"]), subjects="column:who")
    lines = ('{"file_name": "1.png", "who": 0}', '{"file_name": "2.png", "who": 1}')
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    assert folder.load().subjects == ("0", "1")
