"""Generated images that somebody gives, in place of samples that the run draws from its model."""

from __future__ import annotations

from typing import Any

import numpy as np

from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.store.code_keys import plugin_code
from leakfront.registry import parameters


def _settings(subject: Subject) -> list[Any]:
    given = subject.plan.generated
    how = {key: value for key, value in parameters(given).items() if key not in given.places}
    return [how, given.fingerprint()]


def _run(work: Work) -> Files:
    """Read the images. Nobody says which condition each was asked for, so all stand for condition 0."""
    images = work.plan.generated.load().images
    unknown = np.zeros(len(images), np.int64)
    facts = {"seconds": 0.0, "model_calls_per_image": 0.0}
    return {"samples.safetensors": {"images": images, "prompts": unknown, "labels": unknown}, "sample.json": facts}


GIVEN_SAMPLES = Stage(
    "sample", "cell", inputs=("prepare", "train"), settings=_settings,
    code=lambda subject: plugin_code(subject.plan.generated), run=_run,
)  # fmt: skip
