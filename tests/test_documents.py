"""TOML and JSON from disk are read within limits of size, nesting and time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from leakfront.documents import MAX_DEPTH, load_json, load_toml, parse_json, parse_toml
from leakfront.errors import InputError
from leakfront.harness.held import held_config
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.integrity import Fault, remove_damaged, verify
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.run_folder import check_compatible
from leakfront.results.run.data import RunData
from tests.containment import contained
from tests.hostile_documents import JSON, TOML, WELL_FORMED
from tests.small_config import small


def one_sentence(error: BaseException, name: str) -> None:
    said = str(error)
    assert name in said
    assert said.isprintable()


@pytest.mark.parametrize("kind", JSON)
def test_any_run_json_is_read_or_refused_in_one_sentence(kind: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(JSON[kind])
    with contained(seconds=5), pytest.raises(InputError) as caught:
        _ = RunData(tmp_path).info
    one_sentence(caught.value, "run.json cannot be read")


@pytest.mark.parametrize("kind", TOML)
def test_any_config_of_a_run_is_read_or_refused_in_one_sentence(kind: str, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.config.write_bytes(TOML[kind])
    for use in (held_config, lambda held: check_compatible(held, parse_config(small()))):
        with contained(seconds=5), pytest.raises(InputError) as caught:
            use(layout)
        one_sentence(caught.value, "config" if kind == "hexadecimal digits" else "config.toml")


@pytest.mark.parametrize("kind", JSON)
def test_a_hostile_file_of_an_artifact_is_damage_whatever_its_checksum(kind: str, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    with writing(layout.reference, "key") as place:
        (place / "rows.json").write_bytes(JSON[kind])
    with contained(seconds=5):
        faults = verify(layout, [], [])[1]
        assert [fault.artifact for fault in faults] == ([] if kind in WELL_FORMED else ["reference"])
        sentences = remove_damaged(layout, [], [])
    assert all(sentence.startswith("reference: rows.json cannot be read (") for sentence in sentences)
    assert layout.reference.exists() == (not faults)


def test_json_in_the_header_of_tensors_is_checked_too(tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    layout = Layout(tmp_path)
    for folder, facts in ((layout.pool, "[" * 100_000), (layout.extractor, '{"shape": [1, 8, 8]}')):
        with writing(folder, "key") as place:
            save_file({"a": np.zeros(3)}, place / "file.safetensors", {"facts": facts, "format": "pt"})
    wrong = f"file.safetensors cannot be read (it is nested deeper than {MAX_DEPTH} levels)"
    assert verify(layout, [], [])[1] == [Fault("pool", wrong)]


def test_a_hostile_manifest_counts_as_none(tmp_path: Path) -> None:
    with writing(tmp_path / "stage", "key"):
        pass
    for content in JSON.values():
        (tmp_path / "stage" / "manifest.json").write_bytes(content)
        assert stored_key(tmp_path / "stage") is None


def test_usual_files_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1.5, null, {"ä": NaN}]}', encoding="utf-8")
    assert load_json(tmp_path / "a.json")["a"][:2] == [1.5, None]
    levels = [f"levels = [{', '.join(['0.1'] * 900)}]", "[a.b.c]", 'd.e = "…"']
    (tmp_path / "a.toml").write_text("\n".join(levels), encoding="utf-8")
    assert load_toml(tmp_path / "a.toml") == {"levels": [0.1] * 900, "a": {"b": {"c": {"d": {"e": "…"}}}}}


def test_nesting_is_counted_alike_for_both() -> None:
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_toml(f"x = {deepest[1:-1]}")["x"] == parse_json(deepest)[0]
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        parse_json(f"[{deepest}]")
    with pytest.raises(ValueError, match="nested deeper than 64 levels"):
        parse_toml(f"x = {deepest}")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.json")
    with pytest.raises(ValueError, match="not a regular file"):
        load_json(tmp_path / "pipe.json")
    with pytest.raises(ValueError, match="No such file"):
        load_json(tmp_path / "missing.json")
