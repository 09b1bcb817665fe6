"""Arrays are mapped from their file: equal to what was written, shared until changed, or refused."""

from __future__ import annotations

import mmap
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch

from leakfront.harness.store.mapped import mapped

ARRAYS = {
    "images": np.arange(48, dtype=np.uint8).reshape(4, 1, 3, 4),
    "labels": np.arange(4),
    "members": np.array([True, False, True]),
    "scores": np.linspace(0, 1, 5),
    "none": np.zeros((0, 3, 8, 8), np.uint8),
}


def backed_by_a_file(array: np.ndarray) -> bool:
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


def test_arrays_are_what_was_written_and_lie_in_the_file(tmp_path: Path) -> None:
    save_file(ARRAYS, tmp_path / "a.safetensors", metadata={"facts": "{}"})
    found = mapped(tmp_path / "a.safetensors")
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert type(found[name]) is np.ndarray
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
    assert all(backed_by_a_file(found[name]) for name in ARRAYS)


def test_a_file_without_values_has_empty_arrays(tmp_path: Path) -> None:
    save_file({"none": ARRAYS["none"]}, tmp_path / "a.safetensors")
    assert mapped(tmp_path / "a.safetensors")["none"].shape == (0, 3, 8, 8)


def test_writing_into_an_array_changes_neither_the_file_nor_what_others_see(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(ARRAYS, path)
    before, mine, other = path.read_bytes(), mapped(path), mapped(path)
    mine["images"][:] = 255
    assert path.read_bytes() == before
    np.testing.assert_array_equal(other["images"], ARRAYS["images"])


def test_a_file_that_was_replaced_is_still_the_old_one_to_its_readers(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(ARRAYS, path)
    found = mapped(path)
    save_file({"images": ARRAYS["images"] + 1}, tmp_path / "new")
    (tmp_path / "new").replace(path)
    np.testing.assert_array_equal(found["images"], ARRAYS["images"])


def test_what_cannot_be_mapped_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    with pytest.raises(OSError, match="No such file"):
        mapped(path)
    save_file(ARRAYS, path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(SafetensorError):
        mapped(path)
    save_torch({"half": torch.zeros(2, dtype=torch.bfloat16)}, path)
    with pytest.raises(ValueError, match="the array 'half' is of type BF16"):
        mapped(path)


_READER = """
import sys
from pathlib import Path
from leakfront.harness.store.mapped import mapped

def own():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024

before = own()
images = mapped(Path(sys.argv[1]))["images"]
images.sum(dtype="int64")
print(own() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_reading_all_images_takes_no_memory_of_the_process_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"images": np.ones((64, 1024, 1024), np.uint8)}, path)  # 64 MiB
    done = subprocess.run([sys.executable, "-c", _READER, str(path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 8
