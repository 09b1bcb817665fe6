"""Remove the parts of a run's folder that its config no longer uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from leakfront.errors import InputError
from leakfront.harness.held import held_config
from leakfront.harness.plan.make import make_plan
from leakfront.harness.plan.plan import Plan
from leakfront.harness.stages import STAGES, TRAIN
from leakfront.harness.stages.halves import CHECKPOINT
from leakfront.harness.store.inside import remove
from leakfront.harness.store.layout import PARTS, Layout, model_names
from leakfront.harness.store.run_folder import locked
from leakfront.harness.store.temporaries import clear_temporaries


def clean(layout: Layout, dry_run: bool = False) -> list[tuple[Path, int]]:
    """Remove models, cells and scores that the run's config does not use. Returns their paths and sizes in bytes.

    dry_run: remove nothing. Raises `InputError` if the config uses none of the models: then this version of leakfront
    or of a library would train all of them again, and only a new run can tell which are needed.
    """
    plan = make_plan(held_config(layout), layout)
    with locked(layout):
        unused = list(_unused(plan, layout))
        sizes = [(path, sum(file.stat().st_size for file in path.rglob("*") if file.is_file())) for path in unused]
        if not dry_run:
            clear_temporaries(layout.root)
            for path in unused:
                remove(path, layout.root)
    return sizes


def _unused(plan: Plan, layout: Layout) -> Iterator[Path]:
    used = set(model_names(cell.keys[TRAIN.name] for cell in plan.cells))
    if layout.models and not used & set(layout.models):
        raise InputError(
            f"none of the models in {layout.root} fits this version of leakfront (the code, a library or a setting has "
            "changed), so all would be removed; run the config first, or delete the folder"
        )
    yield from (layout.root / "models" / name for name in layout.models if name not in used)
    stages = {*(stage.name for stage in STAGES if stage.scope == "cell"), PARTS, CHECKPOINT}
    for name in layout.cells:
        cell = layout.cell(name)
        if name not in plan.by_name:
            yield cell
            continue
        for folder in layout.stages(name):
            if folder.name not in stages:
                yield folder
            elif folder.name == "attack":
                yield from (path for path in layout.attacks(name) if path.name not in plan.attacks)
