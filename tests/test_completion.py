"""Completion in the shell proposes names that the command takes, and imports nothing that takes long."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import BashComplete

from leakfront import attacks, datasets, models
from leakfront.attacks.suites import SUITES
from leakfront.cli import main
from leakfront.configs import bundled, bundled_studies


def completed(*words: str) -> list[str]:
    """What the shell proposes for the last word."""
    *before, incomplete = words
    found = BashComplete(main, {}, "leakfront", "_LEAKFRONT_COMPLETE").get_completions(before, incomplete)
    return [item.value if item.type == "plain" else f"{item.type}:{item.value}" for item in found]


def test_benchmarks_and_files_of_settings_complete_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text("")
    assert completed("run", "") == [*bundled(), "studies", "mine.toml"]
    assert completed("run", "studies") == ["studies", *bundled_studies()]
    assert completed("run", "studies/me") == ["studies/membership", "studies/memorization_time"]
    assert completed("run", "di") == ["digits"]
    assert completed("run", "mi") == ["mine.toml"]
    assert completed("run", "elsewhere/") == ["file:elsewhere/"]  # any file


def test_plug_ins_complete_after_their_room() -> None:
    assert completed("list", "") == ["defenses", "attacks", "metrics", "features", "models", "datasets"]
    assert completed("list", "attacks", "") == attacks.registry.names()
    assert completed("list", "attacks", "pi") == ["pia", "pian"]
    assert completed("list", "planets", "p") == []


def test_settings_that_name_a_plug_in_complete_with_their_value() -> None:
    assert completed("run", "--set", "model") == [f"model.name={name}" for name in models.registry.names()]
    assert completed("run", "--set", "data.dataset=m") == [
        f"data.dataset={name}" for name in datasets.registry.names() if name.startswith("m")
    ]
    assert completed("attack", "m", "--set", "suite") == [f"suite={name}" for name in SUITES]
    assert completed("run", "--set", "attacks.pi") == ["attacks.pia={}", "attacks.pian={}"]
    assert completed("run", "--set", "training") == []
    assert completed("attack", "m", "--suite", "q") == ["quick", "quick-v2"]


@pytest.mark.parametrize(
    "words", [["show"], ["verify"], ["clean"], ["report"], ["report", "a"], ["attack"], ["attack", "m", "--members"]]
)
def test_folders_complete_as_in_any_other_command(words: list[str]) -> None:
    assert completed(*words, "runs/d") == ["dir:runs/d"]


@pytest.mark.parametrize(
    ("words", "proposed", "heavy"),
    [
        ("leakfront run dig", "plain,digits", "torch diffusers numpy pandas pydantic rich"),
        ("leakfront list defenses dp", "plain,dp_finetune\nplain,dp_sgd", "torch diffusers pandas pydantic rich"),
    ],
)
def test_the_shell_is_answered_without_heavy_imports(words: str, proposed: str, heavy: str) -> None:
    code = (
        "import sys; from leakfront.cli import main\n"
        "try: main(prog_name='leakfront')\n"
        "except SystemExit: pass\n"
        f"sys.exit(' '.join(set({heavy!r}.split()) & set(sys.modules)))"
    )
    count = str(len(words.split()) - 1)
    asked = {"COMP_WORDS": words, "COMP_CWORD": count, "_LEAKFRONT_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr.strip()) == (proposed, "")
