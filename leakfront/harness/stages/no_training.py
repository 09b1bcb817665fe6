"""What stands for a training where there is no model."""

from __future__ import annotations

from leakfront.harness.stages.prepare import load_prepared
from leakfront.harness.stages.stage import Files, Stage, Work
from leakfront.harness.stages.train import fresh_model
from leakfront.harness.store.code_keys import plugin_code


def _run(work: Work) -> Files:
    """The facts of a training that did not take place."""
    dataset, expected_size = load_prepared(work.cell, work.layout)
    facts = {
        "training_images": len(dataset), "expected_size": expected_size, "steps": 0, "seconds": 0.0, "model_calls": 0,
        "losses": [], "report": {}, "guarantee": None, "diverged": None, "peak_memory_mib": 0.0,
    }  # fmt: skip
    return {"model": fresh_model(work.plan, work.pool, 0).save, "train.json": facts}


NO_TRAINING = Stage(
    "train", "model", inputs=("prepare",), settings=lambda subject: [],
    code=lambda subject: plugin_code(subject.plan.model), run=_run,
)  # fmt: skip
