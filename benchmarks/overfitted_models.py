"""Models that overfit, trained and attacked by Leakfront, for the benchmark of its attacks' strength."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from benchmarks.official_attacks.model import Model
from leakfront.attacks.suites import SUITES
from leakfront.harness import calls
from leakfront.harness.checks import check_everything
from leakfront.harness.plan.plan import Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.stages.attack import load_scores
from leakfront.harness.stages.prepare import load_members
from leakfront.harness.stages.train import load_model
from leakfront.harness.store.layout import Layout
from leakfront.harness.training.loop import to_unit_range
from leakfront.models import DiffusionModel

# these judge samples, or no model at all
LEFT_OUT = {"blind", "extraction", "outlier", "generate_and_filter", "side", "inpainting"}


@dataclass(frozen=True)
class Split:
    """A split: coins bool [P], the model for the official attacks, and the scores [P] of ours by label."""

    members: np.ndarray
    model: Model
    ours: Mapping[str, np.ndarray]


def settings(suite: str, steps: int, splits: int, seed: int) -> dict[str, Any]:
    """The settings of Leakfront's run: an undefended model that sees each of 100 images hundreds of times."""
    attacks = {label: p for label, p in SUITES[suite].items() if p.get("attack", label) not in LEFT_OUT}
    return {
        "name": "attack_strength",
        "seed": seed,
        "splits": splits,
        "data": {"dataset": "digits", "pool": 200, "reference": 256},
        "model": {"name": "unet", "channels": [16, 32]},
        "training": {"steps": steps, "batch_size": 64},
        "sampling": {"images": 80, "steps": 2},
        "metrics": {"names": ["fid"]},
        "statistics": {"audit_guesses": 20},
        "attacks": attacks,
    }


def finished(config: dict[str, Any], folder: Path) -> tuple[Plan, Pool, Layout]:
    """What Leakfront's run in a folder consists of, after the run; finished work in it is kept."""
    calls.run(config, folder, workers=1, console=Console(stderr=True, soft_wrap=True))
    layout = Layout(folder)
    return *check_everything(parse_config(config), layout), layout


def trained(config: dict[str, Any], folder: Path) -> list[Split]:
    """The splits of a run by Leakfront in a folder; finished work in it is kept."""
    plan, pool, layout = finished(config, folder)
    images, outside = to_unit_range(pool.images), to_unit_range(pool.reference_images[: plan.config.probe.outside])
    return [
        Split(
            load_members(cell, layout),
            as_official(load_model(plan, cell, layout), images, outside, plan.config.seed),
            {label: load_scores(label, cell, layout)["score"] for label in plan.judged_by(plan.config.splits - 1)},
        )
        for cell in plan.cells
    ]


def as_official(model: DiffusionModel, images: torch.Tensor, outside: torch.Tensor, seed: int) -> Model:
    """A model of Leakfront in front of images, as the official attacks see it."""

    def eps_with(parameters: Mapping[str, torch.Tensor], x_t: torch.Tensor, t: int) -> torch.Tensor:
        at, labels = torch.full((len(x_t),), t), torch.zeros(len(x_t), dtype=torch.long)
        return model.predict_with(dict(parameters), x_t, at, labels)

    parameters = model.parameters()
    return Model(partial(eps_with, parameters), images, outside, model.alphas_cumprod, seed, parameters, eps_with)
