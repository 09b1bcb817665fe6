"""From a config to its plan: every name and parameter is checked, every plug-in built, every stage keyed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from leakfront import attacks, models
from leakfront.attacks.contract import Attack
from leakfront.attacks.suites import IN_FRONT, OWN, chosen_attacks
from leakfront.datasets import open_dataset
from leakfront.errors import InputError
from leakfront.harness.plan.external import (
    caption_notes,
    check_external,
    check_generated,
    external_notes,
    external_points,
    generated_images,
)
from leakfront.harness.plan.keys import fill_keys
from leakfront.harness.plan.limits import check_models, check_names, check_weights
from leakfront.harness.plan.packages import check_figures
from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.plan.sweeps import DefensePoint, expand
from leakfront.harness.pool.data_files import DataFiles, examine
from leakfront.harness.settings.sections import Config
from leakfront.harness.store.layout import Layout
from leakfront.labels import NAME, is_name
from leakfront.registry import build
from leakfront.results import features as feature_extractors
from leakfront.results import metrics
from leakfront.results.metrics import row_name


def make_plan(config: Config, layout: Layout | None = None, data: str | None = None) -> Plan:
    """Check every name and parameter of a config, and key every stage. Raises `InputError`.

    layout: the run's folder, which may record what the files of the data set hold. data: what they hold, from a process
    that has examined them; then they are not listed again.
    """
    model_settings = dict(config.model)
    model = build(models.registry, model_settings.pop("name", None), model_settings, "model")
    dataset = open_dataset(config.data.dataset, **config.data.params)
    generated = generated_images(config, dataset)
    if data is None:
        check_external(config, model, dataset)
        check_generated(config, generated)
    suite, chosen = chosen_attacks(config.suite, config.attacks, model.timesteps or attacks.suites.OF_TIMESTEPS)
    points = external_points(model, expand(config.defenses))
    check_models(config.splits, len(points))
    check_weights(model.smallest)
    check_figures(config.figures)
    extractor = config.metrics.features
    plan = Plan(
        config=config,
        points=points,
        suite=suite,
        attacks={label: _attack(label, params) for label, params in chosen.items()},
        model=model,
        dataset=dataset,
        data=examine(dataset, layout) if data is None else DataFiles(data),
        metrics=_metrics(config.metrics.names),
        extractor=build(feature_extractors.registry, extractor, config.metrics.features_params, "metrics"),
        cells=_cells(points, config.splits),
        keys={},
        generated=generated,
    )
    if not plan.known_membership:  # else there is no audit
        _check_statistics(config)
    fill_keys(plan)
    return plan


def _attack(label: str, params: dict[str, Any]) -> Attack:
    check_names([label])
    if not is_name(label):
        raise InputError(f"attacks.{label}: {NAME}")
    name = params.get("attack", label)
    rest = {key: value for key, value in params.items() if key != "attack"}
    attack: Attack = build(attacks.registry, name, rest, f"attacks.{label}")
    return attack


def _metrics(entries: Sequence[str | dict[str, Any]]) -> list[Any]:
    built = []
    for number, entry in enumerate(entries):
        params = {"name": entry} if isinstance(entry, str) else dict(entry)
        built.append(build(metrics.registry, params.pop("name", None), params, f"metrics.names[{number}]"))
    names = [row_name(metric) for metric in built]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"metrics.names lists {twice!r} twice; take one out")
    return built


def _cells(points: Sequence[DefensePoint], splits: int) -> list[CellPlan]:
    names = [re.sub(r"[^A-Za-z0-9.+=]+", "_", point.label).strip("_") for point in points]
    check_names(names)
    if len(set(names)) < len(names):
        raise InputError("two defenses differ only in characters that a folder's name cannot hold; give one a `label`")
    return [
        CellPlan(f"{name}-split{split}", point, split, {})
        for name, point in zip(names, points, strict=True)
        for split in range(splits)
    ]


def _check_statistics(config: Config) -> None:
    planted = config.data.duplicates
    if planted.groups > config.data.pool:
        raise InputError(f"data.duplicates.groups is {planted.groups}, more than the pool's {config.data.pool} images")
    singles = config.data.pool - planted.repeated
    guesses = config.statistics.guesses(singles)
    if max(guesses) > singles:
        raise InputError(
            f"statistics.audit_guesses is {max(guesses)}, but it must not exceed {singles}, the number of pool images "
            "that are not planted several times (data.pool minus data.duplicates.groups)"
        )
    if min(guesses) < 2:
        raise InputError(
            "statistics.audit_guesses: a share must come to at least 2 guesses, but of the pool's images only "
            f"{singles} are not planted several times (data.pool minus data.duplicates.groups)"
        )


def notes_on(plan: Plan) -> list[str]:
    """A line for what was chosen in reading the model, for each measurement that known membership rules out, and for
    each attack that is left out or has too few shadow models to work as its source describes."""
    shadows = plan.config.splits - 1
    notes = {label: plan.note(label, shadows) for label in plan.attacks}
    of_model = [f"model: {note}" for note in plan.model.notes()]
    known = [*caption_notes(plan.model, plan.dataset), *external_notes(plan.dataset, plan.metrics, plan.extractor)]
    return [*of_model, *known, *(f"attack {label}: {note}" for label, note in notes.items() if note)]


def in_front(plan: Plan) -> list[str]:
    """The attacks whose AUC is to stand in front of a report, the first choice first; known before any result.

    Of a suite these are `suites.IN_FRONT`, of a config's own attacks those that query the model, in their order. An
    attack that lacks shadow models is not among them.
    """
    possible = plan.judged_by(plan.config.splits - 1)
    if plan.suite != OWN:
        return [label for label in IN_FRONT if label in possible]
    return [label for label in possible if plan.attacks[label].access in ("loss", "gradients")]
