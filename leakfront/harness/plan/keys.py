"""The content key of every artifact of a run, computed in one loop over the declared stages."""

from __future__ import annotations

from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.stages import BY_NAME, STAGES
from leakfront.harness.stages.stage import Stage, Subject
from leakfront.harness.store.code_keys import SEEDS, content_key, with_imports


def fill_keys(plan: Plan) -> None:
    """Fill in the keys of all stages but the late ones (see `is_late`); called once, when a plan is made."""
    for stage in STAGES:
        if not stage.needed(plan):
            continue
        if stage.scope == "run":
            plan.keys[stage.name] = key_of(stage, Subject(plan))
        elif not is_late(stage):
            for cell in plan.cells:
                cell.keys[stage.name] = key_of(stage, Subject(plan, cell))


def key_of(stage: Stage, subject: Subject) -> str:
    """The key of a stage's artifact: a hash of its settings, its inputs' keys, its code, and the libraries that this
    imports.

    Its code: what the stage declares, the module of its `run` with what that imports of the rooms, and the derivation
    of seeds. Nothing else enters. In particular, the key does not depend on which other cells the config has, and not
    on the machine: its number of threads and its instruction set are recorded with the artifact.
    """
    stage = stage.of(subject.plan)
    inputs = [key for name in inputs_of(stage, subject.plan) for key in _input_keys(BY_NAME[name], stage, subject)]
    code = sorted({*stage.code(subject), *with_imports(stage.run.__module__), SEEDS})
    return content_key(stage.name, stage.settings(subject), inputs, code)


def inputs_of(stage: Stage, plan: Plan) -> tuple[str, ...]:
    """The names of the stages whose artifacts a stage reads."""
    return (*stage.inputs, *stage.also(plan))


def is_late(stage: Stage) -> bool:
    """Whether a stage depends on which shadow models exist; this is known only after their training."""
    return stage.siblings or any(is_late(BY_NAME[name]) for name in stage.inputs)


def late_keys(plan: Plan, cell: CellPlan, shadows: tuple[CellPlan, ...], stage: Stage) -> dict[str, str]:
    """The keys of a late stage's artifacts by part, with these shadow models."""
    subject = Subject(plan, cell, shadows)
    return {one.part: key_of(stage, one) for one in stage.subjects(subject)}


def _input_keys(source: Stage, stage: Stage, subject: Subject) -> list[str]:
    """The keys of one input of a stage."""
    if source.scope == "run":
        return [subject.plan.keys[source.name]]
    if is_late(source):
        return [key_of(source, one) for one in source.subjects(subject)]
    cells = (subject.cell, *subject.shadows) if stage.siblings else (subject.cell,)
    return [cell.keys[source.name] for cell in cells]
