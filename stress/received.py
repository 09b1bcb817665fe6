"""Folders of runs from strangers: their checksums are right, and their files are made to harm whoever parses them."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from leakfront.harness.store.artifacts import MANIFEST, read_manifest, write_manifest
from leakfront.harness.store.integrity import seal
from leakfront.harness.store.layout import Layout
from stress.benchmark import differences, finish, leakfront, undisturbed, workplace
from stress.counts import Counts

SECONDS = 60  # of real time for a command that only reads


def run(seed: int, budget: float = 1.0) -> Counts:
    """Hostile files at the top of a folder are refused in one sentence; those in artifacts are made again."""
    from tests.hostile_documents import JSON, TOML, WELL_FORMED

    folder = workplace() / "received"
    shutil.copytree(undisturbed().folder, folder)
    at_the_top, failures = 0, []
    for name, contents in (("run.json", JSON), ("config.toml", TOML)):
        whole = (folder / name).read_bytes()
        for kind, content in contents.items():
            (folder / name).write_bytes(content)
            _seal(folder)
            commands: list[tuple[str | Path, ...]] = [("clean", folder, "--dry-run")]
            if name == "run.json":
                commands = [("show", folder), ("report", folder, "--force")]
            failures += [f"{name}, {kind}: {said}" for words in commands if (said := _complaint(words))]
            at_the_top += len(commands)
        (folder / name).write_bytes(whole)
        _seal(folder)
    kinds = [kind for kind in JSON if kind not in WELL_FORMED]
    kinds = kinds[: max(1, round(len(kinds) * budget))]
    rng = random.Random(f"received {seed}")
    for kind in kinds:
        path = rng.choice(sorted(path for path in _artifacts(folder) if path.name != MANIFEST))
        name = str(path.relative_to(folder))
        _replace(path, JSON[kind])
        _seal(folder)
        result = finish(folder)
        if result.returncode or f"{path.name} cannot be read" not in result.stdout:
            failures.append(f"{name}, {kind}: exit code {result.returncode} {result.stderr[-500:]}")
        failures += [f"after {name}, {kind}: {what}" for what in differences(folder)]
    shutil.rmtree(folder)
    return Counts({"hostile files at the top": at_the_top, "in artifacts": len(kinds)}, failures)


def _complaint(words: tuple[str | Path, ...]) -> str:
    """What is wrong with a command's answer; empty if it is a refusal in one sentence."""
    start = time.monotonic()
    result = leakfront(*words)
    if time.monotonic() - start > SECONDS:
        return f"{words[0]} took more than {SECONDS} s"
    one_line = result.stderr.startswith("error: ") and result.stderr.count("\n") == 1
    return "" if result.returncode == 2 and one_line else f"{words[0]}: {result.returncode} {result.stderr[-500:]}"


def _artifacts(folder: Path) -> list[Path]:
    """The JSON files of the run's artifacts."""
    layout = Layout(folder)
    places = [place for place in layout.artifacts(layout.cells, layout.models) if place != layout.report]
    return [path for place in places for path in place.glob("*.json")]


def _replace(path: Path, content: bytes) -> None:
    """Change a file of an artifact, and record its checksum."""
    manifest = read_manifest(path.parent)
    assert manifest is not None
    path.write_bytes(content)
    write_manifest(path.parent, manifest["key"], manifest["files"])


def _seal(folder: Path) -> None:
    layout = Layout(folder)
    seal(layout, layout.cells, layout.models)
