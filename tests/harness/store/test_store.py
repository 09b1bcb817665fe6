"""Artifacts are complete or absent, their keys change with what decides them, and changes on disk are detected."""

import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from leakfront.errors import is_of_disk
from leakfront.harness.store.artifacts import read_manifest, stored_key, write_atomically, writing
from leakfront.harness.store.code_keys import code_version, content_key, with_imports
from leakfront.harness.store.temporaries import clear_temporaries


def put(folder: Path, key: str, text: str = "content") -> None:
    with writing(folder, key) as place:
        (place / "file.txt").write_text(text)


def test_an_artifact_exists_only_when_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "stage"
    assert stored_key(folder) is None

    def be_stopped() -> None:
        with writing(folder, "k") as place:
            (place / "file.txt").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        be_stopped()
    assert not folder.exists()
    assert list(tmp_path.iterdir()) == []
    put(folder, "k")
    assert stored_key(folder) == "k"
    (folder / "file.txt").write_text("shorter")
    (folder / "file.txt").write_text("s")
    assert stored_key(folder) is None


def test_a_new_version_takes_the_place_of_the_old(tmp_path: Path) -> None:
    put(tmp_path / "stage", "one", "old")
    put(tmp_path / "stage", "two", "new")
    assert stored_key(tmp_path / "stage") == "two"
    assert (tmp_path / "stage" / "file.txt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


def test_any_changed_byte_of_a_manifest_is_detected(tmp_path: Path) -> None:
    """Its key and its line breaks count too: a checkpoint's manifest has no other checksum."""
    put(tmp_path / "stage", "key")
    path = tmp_path / "stage" / "manifest.json"
    whole = path.read_bytes()
    for place in range(len(whole)):
        for changed in {whole[place] ^ 1, ord("\r"), ord(" "), ord("0"), 0xFF} - {whole[place]}:
            path.write_bytes(whole[:place] + bytes([changed]) + whole[place + 1 :])
            assert read_manifest(tmp_path / "stage") is None, (place, changed)
    path.write_bytes(whole)
    assert stored_key(tmp_path / "stage") == "key"


def test_two_writers_of_one_artifact_leave_it_complete(tmp_path: Path) -> None:
    """This happens if a machine that was believed dead keeps writing."""
    with writing(tmp_path / "stage", "k") as one, writing(tmp_path / "stage", "k") as other:
        assert one != other
        (one / "file.txt").write_text("content")
        (other / "file.txt").write_text("content")
    assert stored_key(tmp_path / "stage") == "k"
    assert [p.name for p in tmp_path.iterdir()] == ["stage"]


def test_an_artifact_may_come_or_go_while_another_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "stage", "one")
    rename, lost = Path.rename, []

    def overtaken(self: Path, target: Path) -> Path:
        if self == tmp_path / "stage" and not lost:
            lost.append(self)
            shutil.rmtree(self)  # another writer removes the folder that is to be replaced
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", overtaken)
    put(tmp_path / "stage", "two")
    assert lost
    assert stored_key(tmp_path / "stage") == "two"


def test_a_writer_killed_while_it_replaces_an_artifact_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "stage", "one")
    rename, moved = Path.rename, []

    def killed(self: Path, target: Path) -> Path:
        if moved:
            raise KeyboardInterrupt
        if self == tmp_path / "stage":
            moved.append(target)
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            put(tmp_path / "stage", "two")
    assert not (tmp_path / "stage").exists()
    clear_temporaries(tmp_path)
    assert stored_key(tmp_path / "stage") == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]


@pytest.mark.parametrize(
    "manifest", ["", "{", "[]", '{"key": "k"}', '{"key": "k", "files": 3}', '{"files": {}}', "\xff"]
)
def test_an_invalid_manifest_counts_as_none(manifest: str, tmp_path: Path) -> None:
    put(tmp_path / "stage", "k")
    (tmp_path / "stage" / "manifest.json").write_text(manifest, encoding="latin-1")
    assert stored_key(tmp_path / "stage") is None


def test_a_full_disk_raises_an_oserror_whichever_library_writes(tmp_path: Path) -> None:
    """safetensors (in Rust) wraps the system's error in its own. A limit on file size stands in for a full disk."""

    def write() -> None:
        with writing(tmp_path / "stage", "k") as place:
            save_file({"x": np.zeros(10**6)}, place / "tensors.safetensors")

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            write()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert is_of_disk(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_files_are_replaced_in_one_step(tmp_path: Path) -> None:
    write_atomically(tmp_path / "file", "one")
    write_atomically(tmp_path / "file", b"two")
    assert (tmp_path / "file").read_text() == "two"
    assert len(list(tmp_path.iterdir())) == 1


def test_key_changes_with_settings_inputs_and_code() -> None:
    base = content_key("train", {"steps": 1}, ["a"], ["leakfront.defenses.none"])
    assert base == content_key("train", {"steps": 1}, ["a"], ["leakfront.defenses.none"])
    others = [
        content_key("sample", {"steps": 1}, ["a"], ["leakfront.defenses.none"]),
        content_key("train", {"steps": 2}, ["a"], ["leakfront.defenses.none"]),
        content_key("train", {"steps": 1}, ["b"], ["leakfront.defenses.none"]),
        content_key("train", {"steps": 1}, ["a"], ["leakfront.defenses.dedup"]),
    ]
    assert len({base, *others}) == 5


def test_code_version_sees_code_and_not_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    sources = ['"""A."""\nx = 1\n', '"""B, longer."""\n# why\nx  =  1\n', '"""A."""\nx = 2\n']
    for number, source in enumerate(sources):
        (tmp_path / f"version_probe_{number}.py").write_text(source)
    one, same, other = (code_version(f"version_probe_{number}") for number in range(3))
    assert one == same != other


def test_the_code_of_a_plug_in_includes_all_that_it_imports_from_the_rooms_even_late() -> None:
    assert {
        "leakfront.defenses.dp_sgd",
        "leakfront.defenses.training.private_step",
        "leakfront.defenses.training.book_keeping.convolution",
    } <= set(with_imports("leakfront.defenses.dp_sgd"))
    assert "leakfront.attacks.nearest" in with_imports("leakfront.attacks.extraction")
    assert "leakfront.attacks.extraction" not in with_imports("leakfront.attacks.loss")


def test_the_code_of_a_plug_in_of_another_package_is_the_used_part_of_that_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    files = {
        "__init__.py": "from .one import x\nimport json, keyed_elsewhere.two\nimport leakfront.attacks.nearest",
        "one.py": "from keyed_elsewhere.deep import y",
        "two.py": "",
        "unused.py": "",
        "deep/__init__.py": "from ..three import y",
        "three.py": "",
    }
    for name, source in files.items():
        (tmp_path / "keyed_elsewhere" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "keyed_elsewhere" / name).write_text(source)
    code = {"keyed_elsewhere"} | {f"keyed_elsewhere.{name}" for name in ("one", "two", "three", "deep")}
    assert set(with_imports("keyed_elsewhere")) == {*code, *with_imports("leakfront.attacks.nearest")}
    assert code_version("keyed_elsewhere") != code_version("keyed_elsewhere.two")
