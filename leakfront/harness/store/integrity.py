"""Detect damaged artifacts by checksum, report them and rebuild them.

A folder from elsewhere may have matching checksums. So files that the stages parse must also keep to the limits of
`leakfront.documents`; one that does not counts as damaged, before any stage opens it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from leakfront.documents import load_json, parse_json
from leakfront.errors import InputError
from leakfront.harness.store.artifacts import MANIFEST, checksum, read_manifest, write_manifest
from leakfront.harness.store.durable import sync
from leakfront.harness.store.inside import remove
from leakfront.harness.store.layout import Layout
from leakfront.results.run.state import TABLES, belongs

# a finished run seals its artifacts' manifests, and these files at the top of its folder
_TOP = ("config.toml", "results.csv", "results.parquet", "run.json", "per_image.csv", "log.jsonl")


@dataclass(frozen=True)
class Fault:
    """An artifact, as a path in the run's folder ("." for a file at its top), and what is wrong with it."""

    artifact: str
    what: str


def seal(layout: Layout, cells: Iterable[str], models: Iterable[str]) -> None:
    """Record the checksums of the files at the top of a run and of every artifact's manifest, as its last step.

    The report is not included, because it can be redrawn at any time.
    """
    if layout.log.is_file():
        sync(layout.log)  # the one file that is not written by way of a temporary
    manifests = [folder / MANIFEST for folder in layout.artifacts(cells, models) if folder != layout.report]
    files = [*(layout.root / name for name in _TOP), *manifests]
    write_manifest(layout.root, "run", [str(path.relative_to(layout.root)) for path in files if path.is_file()])


def is_sealed(layout: Layout) -> bool:
    """Whether the last run in the folder came to its end: the seal is removed when a run begins."""
    return (layout.root / MANIFEST).exists()


def verify(layout: Layout, cells: Iterable[str], models: Iterable[str]) -> tuple[int, list[Fault]]:
    """Check every file of the run and of these cells and models. Returns the number of files, and the faults."""
    folders = layout.artifacts(cells, models)
    with ThreadPoolExecutor() as pool:  # hashing releases Python's global lock
        results = list(pool.map(check_folder, folders))
    faults = [
        Fault(str(folder.relative_to(layout.root)), what)
        for folder, (_, found) in zip(folders, results, strict=True)
        for what in found
    ]
    checked, at_the_top = check_folder(layout.root) if is_sealed(layout) else (0, _torn_results(layout.root))
    known = {fault.artifact for fault in faults}
    for what in at_the_top:
        name, _, rest = what.partition(" ")
        artifact = str(Path(name).parent)
        if artifact == ".":
            faults.append(Fault(artifact, what))
        elif artifact not in known:
            gone = not (layout.root / artifact).exists()
            faults.append(Fault(artifact, "the folder is missing" if gone else f"{MANIFEST} {rest}"))
    return checked + sum(count for count, _ in results), faults


def remove_damaged(layout: Layout, cells: Collection[str], models: Collection[str]) -> list[str]:
    """Remove damaged artifacts, so that the next run rebuilds them. Returns a sentence for each.

    The seal (the manifest of the whole folder) is removed too, until the next run ends. What it lists beside the
    artifacts of a run is left alone.
    """
    _, faults = verify(layout, cells, models)
    ours = {str(folder.relative_to(layout.root)) for folder in layout.artifacts(layout.cells, layout.models)}
    sentences = []
    for artifact in dict.fromkeys(fault.artifact for fault in faults):
        here = [fault.what for fault in faults if fault.artifact == artifact]
        if artifact == ".":
            kept = "the log is kept and continued"
            sentences += [f"{what}; {kept if what.startswith('log.') else 'it is written again'}" for what in here]
            continue
        more = f" (and {len(here) - 1} more)" if len(here) > 1 else ""
        if artifact not in ours and (layout.root / artifact).exists():
            then = "it is left as it is"  # a manifest names it, and no run makes it
        else:
            remove(layout.root / artifact, layout.root)
            then = "training starts again" if artifact.endswith(".checkpoint") else "it is rebuilt"
        sentences.append(f"{artifact}: {here[0]}{more}; {then}")
    if is_sealed(layout):
        (layout.root / MANIFEST).unlink()
        sync(layout.root)  # before anything changes, else the changes would be mistaken for damage
    return sentences


def check_results(layout: Layout) -> None:
    """Raise `InputError` if the results of a finished run have changed since they were written."""
    if (manifest := read_manifest(layout.root)) is None:
        if not is_sealed(layout):
            return
        raise _changed(layout.root / MANIFEST)
    for name in ("results.csv", "run.json"):
        if (recorded := manifest["files"].get(name)) and checksum(layout.root / name) != recorded["sha256"]:
            raise _changed(layout.root / name)


def _torn_results(root: Path) -> list[str]:
    """A sentence for each table that was not written together with run.json."""
    if not (root / "run.json").exists():
        return []
    try:
        info = load_json(root / "run.json")
        there = [name for name in TABLES if (root / name).is_file()]
        torn = [name for name in there if not belongs(info, name, checksum(root / name))]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return [f"run.json cannot be read ({error})"]
    return [f"{name} does not belong to run.json" for name in torn]


def _changed(path: Path) -> InputError:
    return InputError(f"{path} has changed since it was written; rebuild it with: leakfront run")


def check_folder(folder: Path) -> tuple[int, list[str]]:
    """Check a folder against its manifest: (files checked, a sentence for each missing or changed file)."""
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
        elif why := _unfit(path):
            found.append(f"{name} cannot be read ({why})")
    return len(manifest["files"]), found


def _unfit(path: Path) -> str:
    """Why a JSON file, or the JSON in the header of a safetensors file, cannot be read; empty for any other file."""
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".json":
            load_json(path)
        elif path.suffix == ".safetensors":
            with safe_open(path, framework="numpy") as file:
                for text in (file.metadata() or {}).values():
                    if text.lstrip().startswith(("{", "[")):
                        parse_json(text)
    except (OSError, ValueError, SafetensorError) as error:
        return str(error)
    return ""
