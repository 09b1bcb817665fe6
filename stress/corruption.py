"""Damaged files of a run: each is detected, reported and rebuilt to the same bytes."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

from leakfront.harness.store.artifacts import MANIFEST
from leakfront.harness.store.layout import Layout
from stress.benchmark import Running, differences, finish, undisturbed, workplace
from stress.counts import Counts

DAMAGES, AT_ONCE = 60, 6  # AT_ONCE: damaged files before the run is started again


def _truncate(path: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content))])


def _flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 10])):
        content[rng.randrange(len(content))] ^= rng.randrange(1, 256)
    path.write_bytes(content)


def _overwrite(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    start = rng.randrange(len(content))
    end = min(len(content), start + 4096)
    content[start:end] = rng.randbytes(end - start)
    path.write_bytes(content)


def _delete(path: Path, rng: random.Random) -> None:
    path.unlink()


def _delete_folder(path: Path, rng: random.Random) -> None:
    shutil.rmtree(path.parent)


DAMAGE: dict[str, Callable[[Path, random.Random], None]] = {
    "truncated": _truncate, "changed": _flip, "overwritten": _overwrite, "deleted": _delete,
    "deleted with its folder": _delete_folder,
}  # fmt: skip


def run(seed: int, budget: float = 1.0) -> Counts:
    """Damage artifacts and top-level files of a finished run, checkpoints, and config.toml."""
    folder = workplace() / "corruption"
    shutil.copytree(undisturbed().folder, folder)
    detected, number = 0, 0
    failures: list[str] = []
    while detected < max(1, round(DAMAGES * budget)):
        rng = random.Random(f"corruption {seed} {number}")
        damaged = _damage(folder, rng)
        found = _not_rebuilt(folder, damaged)
        detected += len(damaged)
        failures += [f"corruption {number} (seed {seed}): {what}" for what in found]
        number += 1
        if found:
            shutil.rmtree(folder)
            shutil.copytree(undisturbed().folder, folder)
    shutil.rmtree(folder)
    checkpoints, wrong = _checkpoints(seed, max(1, round(3 * budget)))
    settings, refused = _settings(seed, max(1, round(4 * budget)))
    tried = {"corruptions detected": detected, "of checkpoints": checkpoints, "of config.toml": settings}
    return Counts(tried, failures + wrong + refused)


def _damage(folder: Path, rng: random.Random) -> dict[str, str]:
    """Damage one file in each of some artifacts and one top-level file; {name that must be reported: how}."""
    layout, damaged = Layout(folder), {}
    artifacts = [place for place in layout.artifacts(layout.cells, layout.models) if place != layout.report]
    for place in rng.sample(artifacts, AT_ONCE - 1):
        files = sorted(path for path in place.rglob("*") if path.is_file())
        path, (how, damage) = rng.choice(files), rng.choice(list(DAMAGE.items()))
        if path.parent != place and how == "deleted with its folder":
            how, damage = "deleted", _delete
        damage(path, rng)
        damaged[str(place.relative_to(folder))] = f"{path.relative_to(folder)} {how}"
    path = folder / rng.choice(["results.csv", "results.parquet", "run.json", "log.jsonl"])
    how = rng.choice(["truncated", "changed", "deleted"])
    DAMAGE[how](path, rng)
    return {**damaged, path.name: f"{path.name} {how}"}


def _not_rebuilt(folder: Path, damaged: dict[str, str]) -> list[str]:
    """What a run on a damaged folder did not report or did not rebuild."""
    result = finish(folder)
    if result.returncode != 0:
        return [f"exit code {result.returncode} after {damaged}: {result.stderr[-500:]}"]
    lines = result.stdout.splitlines()
    found = [f"not reported: {how}" for name, how in damaged.items() if not _reported(name, lines)]
    return [*found, *(f"after {damaged}: {what}" for what in differences(folder))]


def _reported(name: str, lines: list[str]) -> bool:
    return any(line.startswith((f"{name}: ", f"{name} has changed", f"{name} is missing")) for line in lines)


def _checkpoints(seed: int, count: int) -> tuple[int, list[str]]:
    """Damage the checkpoint of a run that was killed in training."""
    failures = []
    for number in range(count):
        rng, folder = random.Random(f"checkpoint {seed} {number}"), workplace() / f"checkpoint-{number}"
        run = Running(folder)
        while not (found := _stored_checkpoints(folder)) and run.process.poll() is None:
            run.wait_for("train")
        run.process.kill()
        run.process.wait()
        path = rng.choice(sorted(found[0].iterdir()))
        how = rng.choice(["truncated", "changed", "overwritten", "deleted"])
        DAMAGE[how](path, rng)
        name = str(found[0].relative_to(folder))
        wrong = _not_rebuilt(folder, {name: f"{path.name} {how}"})
        failures += [f"checkpoint {number} (seed {seed}): {what}" for what in wrong]
        shutil.rmtree(folder)
    return count, failures


def _stored_checkpoints(folder: Path) -> list[Path]:
    """The folders of whole checkpoints, wherever in a run's folder they lie. Temporary ones are hidden.

    `os.walk` does not mind folders that vanish meanwhile.
    """
    found = [Path(place) / name for place, names, _ in os.walk(folder) for name in names]
    return sorted(path for path in found if path.suffix == ".checkpoint" and not path.name.startswith("."))


def _settings(seed: int, count: int) -> tuple[int, list[str]]:
    """Damage config.toml: the run is refused in one sentence and changes nothing, or writes the file again."""
    failures, folder = [], workplace() / "settings"
    shutil.copytree(undisturbed().folder, folder)
    path, whole = folder / "config.toml", (undisturbed().folder / "config.toml").read_bytes()
    for number in range(count):
        rng = random.Random(f"settings {seed} {number}")
        path.write_bytes(whole)
        how = rng.choice(["truncated", "changed", "overwritten", "deleted"])
        before = (folder / MANIFEST).read_bytes()
        DAMAGE[how](path, rng)
        result = finish(folder)
        refused = result.returncode == 2 and len(result.stderr.strip().splitlines()) == 1
        kept = refused and (folder / MANIFEST).read_bytes() == before
        reported = result.returncode == 0 and _reported("config.toml", result.stdout.splitlines())
        if not kept and not (reported and not differences(folder)):
            failures.append(f"config.toml {how} (seed {seed}, {number}): exit code {result.returncode} {result.stderr}")
    shutil.rmtree(folder)
    return count, failures
