"""Rows of cost, and the numbers that defenses report of their own work."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from leakfront.attacks.contract import Attack, signal_key
from leakfront.harness.machine.clock import kind_of_time
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.plan.query_cost import model_calls
from leakfront.harness.plan.workload import sampling_work
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.attack import load_facts
from leakfront.harness.stages.cell_rows import row_of
from leakfront.harness.stages.prepare import load_notes
from leakfront.harness.stages.stored_json import read_facts
from leakfront.harness.stages.train import load_facts as load_training
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import Row


def reports_of_defenses(plan: Plan, cell: CellPlan, layout: Layout) -> list[Row]:
    """What the defenses measured of themselves: duplicates removed, epsilon spent, …"""
    trained = load_training(cell, layout)
    row, n = partial(row_of(plan, cell), kind="privacy"), trained["training_images"]
    by_place = {defense.acts_on: defense.name for defense in cell.point.stack}
    rows = [
        row(source=by_place.get("data", "prepare"), metric=name, value=value, n=n)
        for name, value in load_notes(cell, layout).items()
    ]
    rows += [
        row(source=by_place.get("training", "train"), metric=name, value=value, n=n)
        for name, value in trained["report"].items()
    ]
    claim = trained["guarantee"] or {}
    if claim.get("group_epsilon") is not None:  # for all copies of one image together
        epsilon, copies = claim["group_epsilon"], claim["group"]
        rows.append(row(source=by_place["training"], metric="group_epsilon", value=epsilon, n=copies))
    return rows


def cost_rows(plan: Plan, cell: CellPlan, judged: Sequence[str], layout: Layout, images: Pool) -> list[Row]:
    """The cost of training, sampling, probing and scoring; the training of an external model is unknown.

    What a latent model does beside the calls of its network has rows of its own: images encoded and decoded, and
    captions embedded.
    """
    pool = len(images)
    trained = load_training(cell, layout)
    number = (int, float)
    sampled = read_facts(
        layout.stage(cell.name, "sample") / "sample.json", seconds=number, model_calls_per_image=number
    )
    probed = read_facts(layout.stage(cell.name, "probe") / "probe.json", seconds=number, model_calls_per_image=number,
                        generation_calls=dict)  # fmt: skip
    sampling, time = plan.config.sampling, kind_of_time(plan.config.execution.device)
    alone = {name: _calls_alone(plan, plan.attacks[name], images, probed["generation_calls"]) for name in judged}
    together = probed["model_calls_per_image"] + sampling_work(plan) / pool

    def row(source: str, metric: str, value: float, n: int, ci_method: str = "") -> Row:
        return row_of(plan, cell)(
            kind="cost", source=source, metric=metric, value=value, ci_method=ci_method, n=n, higher_is_better=False
        )

    training = [
        row("train", "training_seconds", trained["seconds"], 1, time),
        row("train", "training_steps", float(trained["steps"]), 1),
        row("train", "training_images", float(trained["training_images"]), 1),
        row("train", "training_model_calls", float(trained["model_calls"]), 1),
        row("train", "peak_memory_mib", trained["peak_memory_mib"], 1),
    ]
    return [
        *([] if plan.external else training),
        row("sample", "sampling_seconds", sampled["seconds"], sampling.images, time),
        row("sample", "model_calls_per_image", float(sampled["model_calls_per_image"]), sampling.images),
        row("probe", "probe_seconds", probed["seconds"], pool, time),
        row("probe", "model_calls_per_image", float(probed["model_calls_per_image"]), pool),
        *(row("sample", name, value, sampling.images) for name, value in sampled.get("aside", {}).items()),
        *(row("probe", name, value, pool) for name, value in probed.get("aside", {}).items()),
        # of a pool image, including the samples that extraction looks at
        *(row(name, "model_calls_per_image", calls, pool) for name, calls in alone.items()),
        row("suite", "model_calls_per_image", together, pool),
        row("suite", "model_calls_per_image_apart", sum(alone.values()), pool),
        *(row(name, "scoring_seconds", load_facts(name, cell, layout)["seconds"], 1, time) for name in judged),
    ]


def _calls_alone(plan: Plan, attack: Attack, pool: Pool, generation_calls: dict[str, int]) -> float:
    """The model calls per pool image that an attack would need if it were the only one, samples included."""

    def calls(signals: Sequence[Any]) -> int:
        return model_calls(signals, pool.images.shape[1:], plan.model.timesteps)

    other: float = calls(attack.outside_signals()) * min(plan.config.probe.outside, len(pool.reference_images))
    other += sum(generation_calls[signal_key(generation)] for generation in attack.generations())
    other += sampling_work(plan) if attack.extracts else 0
    return calls(attack.signals()) + other / len(pool)
