"""How the artifacts behind a run's rows were made, from their manifests: for run.json, and one line for people."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from leakfront.harness.plan.plan import CellPlan
from leakfront.harness.stages.train import TRAIN
from leakfront.harness.store.artifacts import read_manifest
from leakfront.harness.store.layout import Layout, model_names


def ways_of(cells: Iterable[CellPlan], layout: Layout) -> list[dict[str, Any]]:
    """Each way in which artifacts of the run and of these cells were made, the commonest first; see `made_by`.

    With the number of "artifacts". All ways but the commonest also list "which": the artifacts' paths in the run's
    folder. Rows of a cell follow from the artifacts of its folder, of its model, of the run, and of its shadow models.
    A training that was resumed in another way is listed under each of its ways.
    """
    cells = list(cells)
    models = model_names(cell.keys[TRAIN.name] for cell in cells)
    folders = [f for f in layout.artifacts([cell.name for cell in cells], models) if f != layout.report]
    found: dict[str, list[str]] = {}
    for folder in folders:
        manifest = read_manifest(folder)
        made = dict(manifest.get("made", {})) if manifest is not None else {}
        for way in ({key: value for key, value in made.items() if key != "earlier"}, *made.get("earlier", ())):
            found.setdefault(json.dumps(way), []).append(str(folder.relative_to(layout.root)))
    commonest = sorted(found.items(), key=lambda way: -len(way[1]))
    return [
        {**json.loads(way), "artifacts": len(paths), **({"which": paths} if number else {})}
        for number, (way, paths) in enumerate(commonest)
    ]
