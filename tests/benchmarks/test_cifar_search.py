"""The search counts copies rightly, and goes on where it was stopped."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import cifar_search
from benchmarks.cifar_search import Budget, copied_by, drawn, read

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)


def test_a_copy_is_much_nearer_to_one_image_than_to_the_next() -> None:
    noisy = np.clip(IMAGES[3].astype(int) + np.random.default_rng(1).integers(-20, 21, IMAGES[3].shape), 0, 255)
    between = (IMAGES[4].astype(int) + IMAGES[5]) // 2
    samples = np.stack([IMAGES[7], noisy, between, 255 - IMAGES[9]]).astype(np.uint8)
    assert copied_by(samples, IMAGES).tolist() == [7, 3, -1, -1]


def test_members_and_decoys_are_different_images() -> None:
    members, decoys = drawn(np.concatenate([IMAGES, IMAGES]), Budget(images=20))
    assert len({image.tobytes() for image in (*members, *decoys)}) == 40


def test_a_search_goes_on_where_it_was_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    for number, image in enumerate(IMAGES):
        Image.fromarray(image.transpose(1, 2, 0)).save(tmp_path / f"{number}.png")
    out = tmp_path / "found.jsonl"
    arguments = ["cifar_search", str(tmp_path), "--out", str(out), "--images", "20", "--groups", "2",
                 "--seconds", "0.01", "--samples", "2", "--sampling-steps", "1", "--networks"]  # fmt: skip

    def search(*networks: str) -> list[str]:
        monkeypatch.setattr("sys.argv", [*arguments, *networks])
        cifar_search.main()
        return [line for line in capsys.readouterr().out.splitlines() if line.startswith("| patch")]

    monkeypatch.setitem(
        cifar_search.TRIALS, "patch 4", cifar_search.Trial({"channels": (16,), "head_channels": 8, "patch": 4})
    )
    first = search("patch 4")
    monkeypatch.setitem(
        cifar_search.TRIALS, "patch 2", cifar_search.Trial({"channels": (16,), "head_channels": 8, "patch": 2})
    )
    out.write_text(out.read_text() + '{"network": "patch 2", "mod')  # a line that was cut short
    assert len(read(out)) == 1
    again = search("patch 4", "patch 2")
    assert again[0] == first[0]
    assert [line["network"] for line in map(json.loads, out.read_text().splitlines())] == ["patch 4", "patch 2"]
    assert read(out)[0]["steps"] >= 1
