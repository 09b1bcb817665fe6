"""Detect damaged artifacts by checksum, report them and rebuild them."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from leakfront.errors import InputError
from leakfront.harness.store.artifacts import MANIFEST, checksum, read_manifest, write_manifest
from leakfront.harness.store.layout import Layout

# a finished run seals its artifacts' manifests, and these files at the top of its folder
_TOP = ("config.toml", "results.csv", "results.parquet", "run.json", "log.jsonl")


@dataclass(frozen=True)
class Fault:
    """An artifact, as a path in the run's folder ("." for a file at its top), and what is wrong there."""

    artifact: str
    what: str


def seal(layout: Layout, cells: Iterable[str], models: Iterable[str]) -> None:
    """The last act of a run: record the checksums of the files at its top and of every artifact's manifest.

    The report is not among them, since it can be redrawn at any time.
    """
    manifests = [folder / MANIFEST for folder in layout.artifacts(cells, models) if folder != layout.report]
    files = [*(layout.root / name for name in _TOP), *manifests]
    write_manifest(layout.root, "run", [str(path.relative_to(layout.root)) for path in files if path.is_file()])


def verify(layout: Layout, cells: Iterable[str], models: Iterable[str]) -> tuple[int, list[Fault]]:
    """Check every file of these cells and models and of the run: (files checked, what is missing or changed)."""
    folders = layout.artifacts(cells, models)
    with ThreadPoolExecutor() as pool:  # hashing leaves Python's lock to others
        wrong = list(pool.map(_wrong_in, folders))
    faults = [
        Fault(str(folder.relative_to(layout.root)), what)
        for folder, (_, found) in zip(folders, wrong, strict=True)
        for what in found
    ]
    checked, at_the_top = _wrong_in(layout.root) if (layout.root / MANIFEST).exists() else (0, [])
    known = {fault.artifact for fault in faults}
    for what in at_the_top:
        name, _, rest = what.partition(" ")
        artifact = str(Path(name).parent)
        if artifact == ".":
            faults.append(Fault(artifact, what))
        elif artifact not in known:
            gone = not (layout.root / artifact).exists()
            faults.append(Fault(artifact, "the folder is missing" if gone else f"{MANIFEST} {rest}"))
    return checked + sum(count for count, _ in wrong), faults


def remove_damaged(layout: Layout, cells: Collection[str], models: Collection[str]) -> list[str]:
    """Remove damaged artifacts, so that the run that follows makes them again; returns a sentence for each.

    The run seals the folder at its end; until then it is open.
    """
    _, faults = verify(layout, cells, models)
    sentences = []
    for artifact in dict.fromkeys(fault.artifact for fault in faults):
        here = [fault.what for fault in faults if fault.artifact == artifact]
        if artifact == ".":
            kept = "the log is kept as it is, and goes on"
            sentences += [f"{what}; {kept if what.startswith('log.') else 'it is written again'}" for what in here]
            continue
        shutil.rmtree(layout.root / artifact, ignore_errors=True)
        more = f" (and {len(here) - 1} more)" if len(here) > 1 else ""
        then = "training starts again" if artifact.endswith(".checkpoint") else "it is made again"
        sentences.append(f"{artifact}: {here[0]}{more}; {then}")
    (layout.root / MANIFEST).unlink(missing_ok=True)
    return sentences


def check_results(layout: Layout) -> None:
    """Raise `InputError` if the results of a finished run are not what it wrote."""
    if (manifest := read_manifest(layout.root)) is None:
        if not (layout.root / MANIFEST).exists():  # the run is under way
            return
        raise _changed(layout.root / MANIFEST)
    for name in ("results.csv", "run.json"):
        if (recorded := manifest["files"].get(name)) and checksum(layout.root / name) != recorded["sha256"]:
            raise _changed(layout.root / name)


def _changed(path: Path) -> InputError:
    return InputError(f"{path} has changed since it was written; make it again with: leakfront run")


def _wrong_in(folder: Path) -> tuple[int, list[str]]:
    """(files checked, what is missing or changed) of a folder with a manifest."""
    if (manifest := read_manifest(folder)) is None:
        there = (folder / MANIFEST).exists()
        return 1, [f"{MANIFEST} has changed since it was written" if there else f"{MANIFEST} is missing"]
    found = []
    for name, recorded in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif path.stat().st_size != recorded["bytes"] or checksum(path) != recorded["sha256"]:
            found.append(f"{name} has changed since it was written")
    return len(manifest["files"]), found
