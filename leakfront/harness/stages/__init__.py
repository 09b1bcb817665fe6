"""The stages of a run in their order, one file each. A new stage needs one file, and its name in this list.

Importing the list does not import torch.
"""

from dataclasses import replace

from leakfront.harness.stages.attack import ATTACK
from leakfront.harness.stages.base import BASE
from leakfront.harness.stages.extractor import EXTRACTOR
from leakfront.harness.stages.features import FEATURES
from leakfront.harness.stages.given_samples import GIVEN_SAMPLES
from leakfront.harness.stages.halves import HALVES
from leakfront.harness.stages.measure import MEASURE
from leakfront.harness.stages.no_training import NO_TRAINING
from leakfront.harness.stages.pool import POOL
from leakfront.harness.stages.prepare import PREPARE
from leakfront.harness.stages.probe import PROBE
from leakfront.harness.stages.reference import REFERENCE
from leakfront.harness.stages.sample import SAMPLE as DRAWN_SAMPLES
from leakfront.harness.stages.stage import Stage
from leakfront.harness.stages.train import TRAIN as TRAINING

TRAIN = replace(TRAINING, instead=lambda plan: None if plan.has_model else NO_TRAINING)
SAMPLE = replace(DRAWN_SAMPLES, instead=lambda plan: None if plan.generated is None else GIVEN_SAMPLES)
STAGES: list[Stage] = [
    POOL, EXTRACTOR, REFERENCE, BASE, PREPARE, TRAIN, SAMPLE, FEATURES, HALVES, PROBE, ATTACK, MEASURE,
]  # fmt: skip
__all__ = [
    "ATTACK", "BASE", "BY_NAME", "EXTRACTOR", "FEATURES", "HALVES", "MEASURE", "POOL", "PREPARE", "PROBE", "REFERENCE",
    "SAMPLE", "STAGES", "TRAIN", "Stage",
]  # fmt: skip
BY_NAME = {stage.name: stage for stage in STAGES}
