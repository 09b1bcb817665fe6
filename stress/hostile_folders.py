"""A run's folder that somebody else made: links and manifests that lead out of it change nothing outside."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from leakfront.harness.store.artifacts import write_manifest
from leakfront.harness.store.layout import Layout
from stress.benchmark import differences, finish, leakfront, undisturbed, workplace
from stress.counts import Counts

LINKS = 12


def run(seed: int, budget: float = 1.0) -> Counts:
    """Links in place of random files and folders are refused; manifests that name files elsewhere are written again."""
    home = workplace() / "hostile"
    mine, folder = home / "mine", home / "run"
    mine.mkdir(parents=True)
    (mine / "thesis.tex").write_text("no line's end")
    (mine / "prepare").mkdir()
    (mine / "prepare" / "manifest.json").write_text("{}")
    before, failures = _contents(mine), []
    links = max(1, round(LINKS * budget))
    for number in range(links):
        rng = random.Random(f"hostile {seed} {number}")
        shutil.copytree(undisturbed().folder, folder)
        place = _link(folder, mine, rng)
        command = rng.choice(["run", "report", "show", "verify", "clean"])
        result = finish(folder) if command == "run" else leakfront(command, folder)
        if result.returncode != 2 or f"{place} is a symbolic link" not in result.stderr:
            failures.append(f"link {number} (seed {seed}), {command}: {place}, {result.returncode} {result.stderr!r}")
        shutil.rmtree(folder)
    shutil.copytree(undisturbed().folder, folder)
    write_manifest(folder, "run", ["../mine/prepare/manifest.json", str(mine / "thesis.tex"), "results.csv"])
    result = finish(folder)
    failures += [] if result.returncode == 0 else [f"manifest: {result.returncode} {result.stderr[-500:]!r}"]
    failures += [f"manifest: {what}" for what in differences(folder)]
    failures += [] if _contents(mine) == before else ["files outside the run's folder have changed"]
    shutil.rmtree(home)
    return Counts({"links refused": links, "manifests that name files elsewhere": 1}, failures)


def _link(folder: Path, mine: Path, rng: random.Random) -> Path:
    """Replace a file or folder of the run by a link to one outside, or add a cell that is a link."""
    layout = Layout(folder)
    files = [path for path in folder.rglob("*") if path.is_file()]
    folders = [*layout.artifacts(layout.cells, layout.models), *map(layout.cell, layout.cells), folder / "models"]
    place = rng.choice([rng.choice(files), rng.choice(folders), layout.log, folder / ".lock", layout.cell("x-split0")])
    target = mine if place.is_dir() or not place.exists() else mine / "thesis.tex"
    if place.is_dir():
        shutil.rmtree(place)
    place.unlink(missing_ok=True)
    place.symlink_to(target)
    return place


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
