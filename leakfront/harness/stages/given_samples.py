"""Generated images that somebody gives, in place of samples that the run draws from its model."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakfront.datasets import LabelledImages
from leakfront.documents import load_json
from leakfront.harness.plan.plan import Plan
from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.store.code_keys import plugin_code
from leakfront.harness.store.layout import Layout
from leakfront.registry import parameters


def _settings(subject: Subject) -> list[Any]:
    given = subject.plan.generated
    how = {key: value for key, value in parameters(given).items() if key not in given.places}
    return [how, given.fingerprint()]


def _run(work: Work) -> Files:
    """Read the images. Nobody says which condition each was asked for, so all stand for condition 0."""
    found = work.plan.generated.load()
    unknown = np.zeros(len(found.images), np.int64)
    facts = {"seconds": 0.0, "model_calls_per_image": 0.0, "notes": _notes(found)}
    return {
        "samples.safetensors": {"images": found.images, "prompts": unknown, "labels": unknown}, "sample.json": facts,
    }  # fmt: skip


def _notes(found: LabelledImages) -> list[str]:
    """What a reader should know of given images: the files that were left out, how they were read, what is not used."""
    classes = ["sub-folders are not taken for classes"] if len(found.classes) > 1 else []
    return [f"model: of the generated images, {note}" for note in (*found.notes, *classes)]


def given_notes(plan: Plan, layout: Layout) -> list[str]:
    """The notes on given images, as they were read into the run or are now; none if the run draws its samples."""
    if plan.generated is None:
        return []
    kept = layout.stage(plan.cells[0].name, GIVEN_SAMPLES.name) / "sample.json"
    held = load_json(kept).get("notes") if kept.is_file() else None
    return _notes(plan.generated.load()) if held is None else [str(note) for note in held]


GIVEN_SAMPLES = Stage(
    "sample", "cell", inputs=("prepare", "train"), settings=_settings,
    code=lambda subject: plugin_code(subject.plan.generated), run=_run,
)  # fmt: skip
