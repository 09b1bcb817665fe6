"""Print the plan of a run and an estimate of its time, without running it."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.table import Table

from leakfront.errors import InputError
from leakfront.harness.checks import check_everything
from leakfront.harness.execution.progress import duration
from leakfront.harness.execution.schedule import work_left
from leakfront.harness.plan.plan import Plan
from leakfront.harness.plan.query_cost import check_signals
from leakfront.harness.plan.trainings import longest_of, models_of
from leakfront.harness.pool.pool import Pool
from leakfront.harness.pool.told_labels import told
from leakfront.harness.settings.sections import Config
from leakfront.harness.stages import BASE, STAGES, TRAIN
from leakfront.harness.stages.base import base_work
from leakfront.harness.stages.stage import Work, is_stored
from leakfront.harness.stages.train import fresh_model
from leakfront.harness.store.layout import Layout
from leakfront.results.metrics import row_name


def print_plan(config: Config, layout: Layout, workers: int, console: Console) -> None:
    """Print the defenses, one per line, with the number of pending cells and the estimated time of each stage.

    The estimate uses a few forward passes of the model, timed now on this machine with the config's threads. Raises
    `InputError` for wrong input.
    """
    plan, pool = check_everything(config, layout)
    check_signals(plan, pool.images.shape[1:])
    channels, height, width = pool.images.shape[1:]
    known = plan.model.estimate((channels, height, width), config.execution.device)
    seconds, left = known.call if known is not None else _seconds_per_pass(plan, pool), work_left(plan, pool, layout)
    models = longest_of(models_of(plan))
    trained = {model.cell.name for model in models} if plan.model.trained else set()
    title = f"{config.name}: {len(plan.cells)} cells, {len(trained)} models to train, into {layout.root}"
    table = Table(title=title, title_justify="left")
    estimated = [stage for stage in STAGES if stage.work is not None and stage.needed(plan)]
    for heading in ("defense", "splits", "models", "to do", *(stage.name for stage in estimated)):
        table.add_column(heading, justify="left" if heading == "defense" else "right")
    for point in plan.points:
        cells = [cell for cell in plan.cells if cell.point is point]
        pending = [cell for cell in cells if cell.name in left]
        own = [cell for cell in cells if cell.name in trained]
        work = Work(plan=plan, of_cell=cells[0], layout=layout, pool=pool)
        times = [duration(stage.work(work) * seconds) if stage.work is not None else "" for stage in estimated]
        if not own:
            times[estimated.index(TRAIN)] = "shared"
        table.add_row(point.label, str(len(cells)), str(len(own)), str(len(pending)), *times)
    base = 0.0 if is_stored(BASE, layout, plan.keys.get(BASE.name, "")) else seconds * base_work(plan)
    total = base + seconds * sum(amount for stages in left.values() for amount in stages.values())
    console.print(table)
    metrics = ", ".join(map(row_name, plan.metrics)) or "none"
    console.print(
        f"suite {plan.suite}: {', '.join(plan.attacks)}; metrics: {metrics} on "
        f"{plan.features} features; pool {len(pool)}, {config.sampling.images} samples a model"
        + (f"; {pool.skipped} files of the data skipped" if pool.skipped else ""),
        highlight=False,
    )
    if base:
        console.print(
            f"the base is trained once, on {len(pool.extractor_images)} public images: {duration(base)}",
            highlight=False,
        )
    for note in pool.notes:
        console.print(note, highlight=False, markup=False)
    if known is not None:
        coded = known.encode * len(pool) + known.decode * config.sampling.images
        for line in (*known.lines, f"encoding the pool and decoding the samples: {duration(coded)}"):
            console.print(line, highlight=False, markup=False)
    console.print(
        f"estimate: {duration(total)} of work, {duration(total / workers)} with {workers} workers, measured on "
        f"{config.execution.device} with {config.execution.threads} threads each; features, attacks and report are not "
        "included",
        highlight=False,
    )


def _seconds_per_pass(plan: Plan, pool: Pool) -> float:
    """Seconds of a forward pass per image, in batches of the training's size.

    For a generator it is five times that of making an image: a step calls generator and discriminator, which are alike
    in size, five times an image.
    """
    import torch

    from leakfront.harness.training.loop import to_unit_range
    from leakfront.models.contract import generates

    config = plan.config
    pool = told(pool, config.data.labels, config.seed)
    torch.set_num_threads(config.execution.threads)
    try:
        model = fresh_model(plan, pool, 0)
    except (MemoryError, RuntimeError, ValueError) as error:
        shape = tuple(pool.images.shape[1:])
        raise InputError(f"model {plan.model.name!r} cannot be built for {shape} images: {error}") from error
    images = to_unit_range(pool.images[: config.training.batch_size]).to(config.execution.device)
    captions = pool.captions and pool.captions[: len(images)]
    given = model.conditions(torch.as_tensor(pool.labels[: len(images)]), captions).to(images.device)
    if model.network is None:
        fit: Any = model.fit  # of a text family it takes the conditions too
        fit(images, *([given] if plan.model.text else []))
    else:
        model.network.to(config.execution.device).eval()
    t = torch.zeros(len(images), dtype=torch.long, device=images.device)
    times = []
    with torch.no_grad():
        for _ in range(6):
            start = time.perf_counter()
            if generates(model):
                for _ in range(5):
                    model.generate(torch.randn(len(images), *model.noise_shape, device=images.device)).sum().item()
            else:
                model.predict_noise(images, t, given).sum().item()
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] / len(images)
