"""Paths in a config are found by what plug-ins declare, and by their look; a run's folder states their last names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from leakfront.harness.machine import user
from leakfront.harness.settings import places as module
from leakfront.harness.settings.places import USER, filled, is_alike, paths_at, places, short_name, shortened
from leakfront.harness.settings.scrubbed import Scrubber
from leakfront.harness.settings.sections import parse_config
from tests.small_config import small

PATHS: dict[str, Any] = {
    "data": {"dataset": "members_decoys", "params": {"members": "clinic/a", "decoys": "b", "size": 8}},
    "model": {"name": "pipeline", "path": "../models/mine"},
    "metrics": {"features": "inception", "features_params": {"weights": "w/file.pth"}},
    "defenses": [{"name": "none"}, {"stack": [{"name": "dedup"}, {"name": "odd", "table": ["/x/one", "~/two"]}]}],
    "attacks": {"loss.1": {"attack": "loss", "extra": "C:\\Users\\maria"}},
    "title": "/not/a/path",
}


def named(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(module, "user_names", lambda: frozenset({name}))


def test_declared_parameters_and_absolute_paths_are_found_wherever_they_stand() -> None:
    assert places(PATHS) == {
        "data.params.members": "clinic/a",
        "data.params.decoys": "b",
        "model.path": "../models/mine",
        "metrics.features_params.weights": "w/file.pth",
        "defenses.1.stack.1.table.0": "/x/one",
        "defenses.1.stack.1.table.1": "~/two",
        "attacks.loss.1.extra": "C:\\Users\\maria",
    }
    assert places({"data": {"dataset": "folder:/a/b"}}) == {"data.dataset": "/a/b"}
    assert places({"data": {"dataset": "digits", "params": {}}}) == {}
    assert places({"data": 3, "model": [], "defenses": [3, {"name": "unheard"}], "attacks": {"x": 1}}) == {}


def test_a_config_without_paths_is_stated_as_it_is() -> None:
    settings = parse_config(small()).model_dump(mode="json", exclude_none=True)
    assert places(settings) == {}
    assert shortened(settings) == settings


def test_shortened_settings_hold_last_names_and_are_filled_again() -> None:
    short = shortened(PATHS)
    assert short["data"]["params"] == {"members": "a", "decoys": "b", "size": 8}
    assert short["model"]["path"] == "mine"
    assert short["defenses"][1]["stack"][1]["table"] == ["one", "two"]
    assert short["title"] == "/not/a/path"
    assert PATHS["model"]["path"] == "../models/mine"
    assert filled(short, places(PATHS)) == PATHS
    assert filled({"data": {"dataset": "npz:x"}}, {"data.dataset": "/y/z", "model.path": "q"}) == {
        "data": {"dataset": "npz:/y/z"}
    }
    assert paths_at({"data": {"dataset": "digits"}}, ["data.dataset", "model.path"]) == {}


def test_a_name_is_the_last_of_a_path_without_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    named(monkeypatch, "maria")
    assert short_name("/data/photos/") == short_name("x/../photos") == "photos"
    assert short_name(".") == tmp_path.name
    assert short_name("/") == "root"
    assert short_name("~nobody_at_all/x/y") == "y"
    assert short_name("/home/maria") == USER
    assert short_name("/data/Maria-scans") == f"{USER}-scans"
    assert short_name("/data/mariana") == "mariana"


def test_the_masked_name_of_another_user_is_taken_for_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, "bob")
    assert is_alike("USER-scans", "/data/maria-scans")
    assert not is_alike("USER-scans", "/data/maria-pictures")
    assert not is_alike("scans", "/data/scans.old")


def test_the_names_of_accounts_that_every_machine_has_are_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/root"))
    monkeypatch.setattr("getpass.getuser", lambda: "root")
    assert user.user_names() == frozenset()
    monkeypatch.setattr("getpass.getuser", lambda: "maria")
    assert user.user_names() == {"maria"}
    monkeypatch.setattr("getpass.getuser", lambda: (_ for _ in ()).throw(KeyError("uid")))
    assert user.user_names() == frozenset()


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("/data/my clinic/members/p17.png is damaged", "members/p17.png is damaged"),
        ("No such file: '/mnt/x y/z.png'", "No such file: 'z.png'"),
        ('File "/opt/venv/lib/python3.11/site-packages/torch/nn/a.py", line 3', 'File "torch/nn/a.py", line 3'),
        ("https://example.org/x/y, 1/3, a/b, (/opt/x/y).", "https://example.org/x/y, 1/3, a/b, (y)."),
        ("~/foo/bar.txt and /home/someone/deep/file", "bar.txt and file"),
        ("results in /scratch/p q/run", "results in run"),
        ("D:\\scans\\one.png cannot be read", "one.png cannot be read"),
        ("the job of maria, not of mariana", f"the job of {USER}, not of mariana"),
        ("../clinic/scans/2.png and /data/deep/other", "scans/2.png and other"),
        ("not my../clinic/scans", "not my../clinic/scans"),
    ],
)
def test_texts_for_files_lose_paths_and_the_user(text: str, left: str, monkeypatch: pytest.MonkeyPatch) -> None:
    named(monkeypatch, "maria")
    scrubber = Scrubber.of({"a": "/data/my clinic/members", "b": "../clinic/scans"}, Path("/scratch/p q/run"))
    assert scrubber(text) == left
    assert scrubber.all_in({"/key/stays": [text, 3, None]}) == {"/key/stays": [left, 3, None]}
