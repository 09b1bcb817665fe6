"""Only the latest attempt at a task may put an artifact in its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from leakfront.harness.store import attempts
from leakfront.harness.store.artifacts import discard, stored_key, writing
from leakfront.harness.store.attempts import LateAttemptError, begin, if_latest, working_on


def put(folder: Path, key: str) -> None:
    with writing(folder, key) as place:
        (place / "file.txt").write_text(key)


def test_an_earlier_attempt_replaces_and_removes_nothing(tmp_path: Path) -> None:
    token, stage = tmp_path / "token", tmp_path / "stage"
    first = begin(token)
    with working_on(first):
        put(stage, "one")
    second = begin(token)
    assert first.token != second.token
    with working_on(second):
        put(stage, "two")
    with working_on(first):
        with pytest.raises(LateAttemptError, match="another attempt"):
            put(stage, "late")
        with pytest.raises(LateAttemptError, match="another attempt"):
            discard(stage)
    assert stored_key(stage) == "two"
    token.unlink()
    with working_on(second), pytest.raises(LateAttemptError, match="has ended"):
        put(stage, "late")
    assert stored_key(stage) == "two"
    assert [path.name for path in tmp_path.iterdir()] == ["stage"]
    put(stage, "a local run")  # where nobody else can be at work
    assert stored_key(stage) == "a local run"


def test_an_attempt_does_not_begin_while_an_earlier_one_replaces_an_artifact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "LOCK_SECONDS", 0)
    first = begin(tmp_path / "token")
    with working_on(first), if_latest(), pytest.raises(TimeoutError, match="another process holds its lock"):
        begin(tmp_path / "token")
    with working_on(first), if_latest():
        pass


def test_an_error_about_another_file_is_not_taken_for_the_end_of_the_run(tmp_path: Path) -> None:
    with working_on(begin(tmp_path / "token")), pytest.raises(FileNotFoundError, match="missing"), if_latest():
        (tmp_path / "missing").rename(tmp_path / "stage")
