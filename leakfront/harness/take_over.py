"""Artifacts that other runs have finished, taken over by their keys."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from leakfront.harness.plan.keys import is_late
from leakfront.harness.plan.plan import Plan
from leakfront.harness.stages import STAGES
from leakfront.harness.stages.stage import is_stored
from leakfront.harness.stages.train import is_private
from leakfront.harness.store.artifacts import MANIFEST, read_manifest, writing
from leakfront.harness.store.integrity import check_folder
from leakfront.harness.store.layout import Layout


def take_over(plan: Plan, layout: Layout, others: Sequence[Layout]) -> int:
    """Copy finished artifacts of models and cells from other runs, where the keys agree; returns how many.

    A key covers everything that decides an artifact, so a copy is what this run would have made, up to rounding on
    other machines. Private models, whose draws are of their run's secret, are never shared, nor is what follows from
    them. A damaged artifact is not taken.
    """
    cells = [cell for cell in plan.cells if not is_private(cell.point.stack)]
    own = [stage for stage in STAGES if stage.scope != "run" and not is_late(stage) and stage.needed(plan)]
    wanted = {}
    for cell in cells if others else ():
        for stage in own:
            if not is_stored(stage, layout, key := cell.keys[stage.name], cell):
                wanted[stage.folder(layout, key, cell)] = key
    found = _by_key(others, {stage.name for stage in own}) if wanted else {}
    taken = 0
    for folder, key in wanted.items():
        if (there := found.get(key)) is not None and not check_folder(there)[1]:
            _copy(there, folder, key)
            taken += 1
    return taken


def _by_key(others: Iterable[Layout], stages: set[str]) -> dict[str, Path]:
    """The folders of the artifacts of these stages in other runs, by their keys."""
    found = {}
    for other in others:
        folders = [other.root / "models" / name / stage for name in other.models for stage in stages]
        folders += [path for cell in other.cells for path in other.stages(cell) if path.name in stages]
        for folder in folders:
            if (manifest := read_manifest(folder)) is not None:
                found[manifest["key"]] = folder
    return found


def _copy(there: Path, folder: Path, key: str) -> None:
    manifest = read_manifest(there)
    assert manifest is not None
    with writing(folder, key, manifest.get("made")) as place:
        shutil.copytree(there, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(MANIFEST))
