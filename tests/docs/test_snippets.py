"""Every snippet of the documentation runs, or says above itself why it cannot: `<!-- not run: REASON -->`.

Python blocks are executed, in order, one page at a time, in a folder of their own with the published runs. Blocks whose
first line names a file are saved there, as the text tells the reader to do. Commands are parsed by the command line,
with their configs and settings, and not run. TOML is planned. In blocks that cannot be run, the arguments of the public
calls are checked.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
import pytest
import tomli_w
from PIL import Image

import leakfront.attacks
import leakfront.defenses
from leakfront import cli
from leakfront.configs import bundled_studies
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.external import SUITE_OF_IMAGES, external_config
from leakfront.harness.settings.file import load_config
from leakfront.harness.studies.load import load_study
from leakfront.harness.studies.run import asks_for_studies
from leakfront.results.verdict.gate import read_gate
from tests.docs.markdown import PAGES, ROOT, Block, blocks, commands, inline_commands
from tests.few_figures import only
from tests.in_process import in_process

IMAGES = 200  # in each folder of images that a snippet names
ROOMS: dict[str, ModuleType] = {"leakfront/attacks": leakfront.attacks, "leakfront/defenses": leakfront.defenses}


class Reader:
    """Somebody who follows a page: `folder` is where they are, `names` what their Python session holds."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.runs: set[str] = set()  # folders that runs were written to
        self._monkeypatch = monkeypatch
        (folder / "published").symlink_to(ROOT / "published")
        monkeypatch.chdir(folder)
        for block in blocks("docs/quickstart.md"):  # whose config other pages use
            if block.file:
                self.follow(block)

    def follow(self, block: Block) -> None:
        """Do what a block says."""
        if block.file:
            self._save(block)
        match block.language:
            case "python":
                self._python(block)
            case "toml":
                self._plan(block)
            case "sh":
                for words in commands(block.text):
                    self.command(words)
            case _:
                raise AssertionError(f"{block}: no test runs a block of {block.language!r}")

    def command(self, words: list[str]) -> None:
        """Check a command without running it."""
        match words:
            case ["leakfront", *arguments, ">", _] | ["leakfront", *arguments]:
                self._leakfront(arguments)
            case ["make", *targets]:
                for target in targets:
                    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.M), target
            case ["python", "-m", "pytest", *paths]:
                assert paths
                for path in paths:
                    assert (self.folder / path).is_file() or (ROOT / path).is_file(), path
            case ["python", "-m", module, *_]:
                assert importlib.util.find_spec(module), module
            case _:
                raise AssertionError(f"no test knows how to check {words}")

    def _save(self, block: Block) -> None:
        path = self.folder / block.file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)

    def _python(self, block: Block) -> None:
        if not block.file:
            exec(compile(block.text, str(block), "exec"), self.names)
            return
        room = ROOMS.get(str(Path(block.file).parent))
        if room is not None:  # a plug-in: the room is here and there
            self._monkeypatch.setattr(room, "__path__", [*room.__path__, str((self.folder / block.file).parent)])
            importlib.import_module(f"{room.__name__}.{Path(block.file).stem}")
            return
        for name, test in vars(_module(self.folder / block.file)).items():
            if name.startswith("test_"):
                test()

    def _plan(self, block: Block) -> None:
        if block.file.endswith("gate.toml"):
            read_gate(self.folder / block.file)
            return
        settings = tomllib.loads(block.text)
        _images(settings)
        whole = settings if "name" in settings else _merged(tomllib.loads(_digits()), settings)
        path = self.folder / "snippet.toml"
        path.write_text(tomli_w.dumps(whole))
        config = load_config(str(path))
        if config.study is not None:
            load_study(str(path))
        if config.model["name"] != "pipeline":  # which is no file here
            make_plan(config)

    def _leakfront(self, arguments: list[str]) -> None:
        if arguments[0].startswith("-"):
            return
        command = cli.main.commands[arguments[0]]
        given = command.make_context(arguments[0], arguments[1:]).params
        if arguments[0] == "run":
            if asks_for_studies(given["config"]):
                names = bundled_studies() if given["config"] == "studies" else [given["config"]]
                for name in names:
                    load_study(name, given["overrides"], given["smoke"])
            elif given["config"] not in self.runs:  # a folder that an earlier line wrote goes on
                make_plan(load_config(given["config"], given["overrides"], given["smoke"]))
            self.runs.add(str(given["out"]))
        elif arguments[0] in ("attack", "samples"):
            places = {place: given[place] for place in ("members", "decoys", "reference")}
            _images({"data": {"params": {place: folder for place, folder in places.items() if folder}}})
            if "generated" in given:
                _images({"data": {"dataset": "folder", "params": {"members": given["generated"]}}})
            external_config(given.get("pipeline"), **places, suite=given.get("suite", SUITE_OF_IMAGES),
                            overrides=given["overrides"], generated=given.get("generated"))  # fmt: skip


def check_calls(block: Block) -> None:
    """Bind the arguments of the public calls in a Python block that is not run."""
    for call in ast.walk(ast.parse(block.text)) if block.language == "python" else ():
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("leakfront."):
            named = {keyword.arg: None for keyword in call.keywords if keyword.arg}
            function = getattr(leakfront, ast.unparse(call.func).removeprefix("leakfront."))
            inspect.signature(function).bind(*call.args, **named)


def _digits() -> str:
    return (ROOT / "leakfront" / "configs" / "digits.toml").read_text()


def _merged(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Settings with those of a block in their places."""
    for key, value in changes.items():
        held = settings.get(key)
        settings[key] = _merged(held, value) if isinstance(held, dict) and isinstance(value, dict) else value
    return settings


def _images(settings: dict[str, Any]) -> None:
    """Make the folders of images that settings name."""
    data = settings.get("data", {})
    dataset, params = data.get("dataset", ""), data.get("params", {})
    folders = [f"{dataset.removeprefix('folder:')}/one"] if dataset.startswith("folder:") else []
    folders += [params[place] for place in ("members", "decoys", "reference") if place in params]
    for folder in map(Path, folders):
        if not folder.is_dir():
            folder.mkdir(parents=True)
            Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "0.png")
            for number in range(1, IMAGES):
                shutil.copyfile(folder / "0.png", folder / f"{number}.png")
            for number in range(IMAGES if params.get("captions") else 0):
                (folder / f"{number}.txt").write_text(f"picture {number}")


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    """A reader; plug-ins that they add are gone afterwards."""
    registries = [leakfront.attacks.registry, leakfront.defenses.registry]
    before, modules = [set(registry._registered) for registry in registries], set(sys.modules)
    with in_process(), only("membership"):  # what a run does in other processes, and draws, has tests of its own
        yield Reader(tmp_path, monkeypatch)
    for registry, names in zip(registries, before, strict=True):
        for name in set(registry._registered) - names:
            module = registry._registered[name].__module__
            if str(tmp_path) in str(getattr(sys.modules.get(module), "__file__", "")):
                del registry._registered[name]
    for name in set(sys.modules) - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES)
def test_every_snippet_runs(page: str, reader: Reader) -> None:
    for block in blocks(page):
        if block.reason:
            check_calls(block)
        else:
            try:
                reader.follow(block)
            except Exception as error:
                raise AssertionError(f"{block} does not run: {error}") from error
    for words in inline_commands(page):
        if len(words) == 2:  # the name of a command
            assert words[1] in cli.main.commands or words[1].startswith("-"), words
        else:
            reader.command(words)


def test_a_wrong_snippet_fails(reader: Reader) -> None:
    wrong = {
        "sh": ["leakfront runn", "leakfront run digits --sett a=1", "leakfront run digitz", "make everything",
               "leakfront run --set training.stepz=5", "leakfront run --set 'defenses=[{name=\"dedop\"}]'", "rm file",
               "leakfront attack m --members data/m"],
        "toml": ["[training]\nstepz = 5\n", "[[defenses]]\nname = 'dp_sgd'\nepsilon = 'one'\n", "x = = 1\n"],
        "python": ["import leakfront.nowhere\n", "1 / 0\n"],
        "": ["leakfront run\n"],
    }  # fmt: skip
    for language, texts in wrong.items():
        for text in texts:
            with pytest.raises((Exception, click.ClickException)):
                reader.follow(Block("page", 1, language, text, ""))


@pytest.mark.parametrize("block", [b for page in PAGES for b in blocks(page) if b.file.endswith(".py")], ids=str)
def test_files_that_readers_save_pass_the_lint(block: Block) -> None:
    ours = ["--config", 'lint.isort.known-first-party = ["leakfront"]']  # whose modules are not all files here
    for check in (["check", *ours], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *check, "--stdin-filename", str(ROOT / block.file), "-"]
        done = subprocess.run(command, input=block.text, capture_output=True, text=True, cwd=ROOT, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_reasons_are_few_and_stated() -> None:
    reasons = [block.reason for page in PAGES for block in blocks(page) if block.reason]
    assert len(reasons) <= 7
    assert all(len(reason) > 10 for reason in reasons)
