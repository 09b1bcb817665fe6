"""What a run consists of: its cells, and the content key of every stage, known before anything is run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any

from leakfront import attacks, models
from leakfront.attacks.contract import Attack, signal_key
from leakfront.attacks.suites import chosen_attacks
from leakfront.datasets import file_facts, open_dataset, user_path
from leakfront.errors import InputError
from leakfront.harness.plan.external import NO_OUTSIDE, check_given, given_notes, given_points
from leakfront.harness.plan.limits import check_models, check_names, check_weights
from leakfront.harness.plan.sweeps import DefensePoint, expand
from leakfront.harness.settings.sections import Config
from leakfront.harness.store.artifacts import content_key, with_imports
from leakfront.registry import build, parameters
from leakfront.results import features as results_features
from leakfront.results import metrics as results_metrics
from leakfront.results.metrics import row_name

_FEATURES = (
    "leakfront.harness.stages.features",
    "leakfront.results.metrics.image_set",
)  # the code that every feature passes through


@dataclass(frozen=True)
class CellPlan:
    """One model to train: a defense at a strength, on a split.

    keys: of the stages prepare, train, sample, features and probe.
    """

    name: str
    point: DefensePoint
    split: int
    keys: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """A checked config with everything that it names, built."""

    config: Config
    points: list[DefensePoint]
    suite: str
    attacks: dict[str, Attack]
    model: Any
    dataset: Any
    metrics: list[Any]
    extractor: Any
    pool_key: str = field(default="")
    extractor_key: str = field(default="")
    reference_key: str = field(default="")
    cells: list[CellPlan] = field(default_factory=list)

    @cached_property
    def by_name(self) -> dict[str, CellPlan]:
        """The cells by their names."""
        return {cell.name: cell for cell in self.cells}

    @property
    def signals(self) -> list[Any]:
        """The distinct signals that the attacks ask for, in a fixed order."""
        return _distinct(s for attack in self.attempted for s in attack.signals())

    @property
    def outside_signals(self) -> list[Any]:
        """The same for what they ask of images outside the pool."""
        return _distinct(s for attack in self.attempted for s in attack.outside_signals())

    @property
    def generations(self) -> list[Any]:
        """The same for what they make the model generate."""
        return _distinct(g for attack in self.attempted for g in attack.generations())

    @property
    def is_given(self) -> bool:
        """Whether the data set states who the members are, so that no coins are flipped."""
        return bool(getattr(self.dataset, "given", False))

    @property
    def model_is_given(self) -> bool:
        """Whether the model was trained elsewhere."""
        return bool(getattr(self.model, "given", False))

    @property
    def attempted(self) -> list[Attack]:
        """The attacks that can be made if all splits have a model."""
        return [self.attacks[label] for label in self.judged_by(self.config.splits - 1)]

    def judged_by(self, shadows: int) -> list[str]:
        """The attacks that can be made with so many shadow models."""
        return [
            label
            for label, attack in self.attacks.items()
            if attack.minimum_shadows <= shadows and not self._lacks_outside(attack)
        ]

    def note(self, label: str, shadows: int) -> str:
        """What an attack does instead with so many shadow models, or why it is left out; empty if all is well."""
        attack = self.attacks[label]
        return NO_OUTSIDE if self._lacks_outside(attack) else attack.note(shadows)

    def _lacks_outside(self, attack: Attack) -> bool:
        return bool(attack.outside_signals()) and not getattr(self.dataset, "has_outside", True)

    @property
    def features(self) -> str:
        """What rows call the features."""
        return str(self.extractor.label)

    def siblings(self, cell: CellPlan) -> list[CellPlan]:
        """The other splits of the same defense, the candidates for shadow models."""
        return [other for other in self.cells if other.point.label == cell.point.label and other.split != cell.split]

    def attack_key(self, attack: str, cell: CellPlan, shadows: Sequence[CellPlan]) -> str:
        """Key of an attack's scores on a cell, with the shadow models that it really had."""
        plugin = self.attacks[attack]
        inputs = [k.keys[stage] for k in (cell, *shadows) for stage in ("prepare", "sample", "probe")]
        settings = [attack, plugin.name, parameters(plugin)]
        return content_key(
            "attack", settings, [*inputs, self.extractor_key], _code(plugin, "leakfront.harness.stages.attack")
        )

    def measure_key(self, attack_keys: Sequence[str], cell: CellPlan, shadows: int) -> str:
        """Key of a cell's rows."""
        settings = [self.config.statistics.model_dump(), self.config.name, self.config.data.model_dump(),
                    list(self.attacks), shadows]  # fmt: skip
        inputs = [*attack_keys, *cell.keys.values(), self.reference_key]
        modules = ["leakfront.harness.stages.measure", *with_imports("leakfront.results.statistics.one_run")]
        modules += [f"leakfront.results.statistics.{name}" for name in ("roc", "counts", "set_test")]
        return content_key("measure", settings, inputs, modules)


def make_plan(config: Config) -> Plan:
    """Check every name and parameter of a config, and key every stage. Raises `InputError`."""
    data = config.data
    model_settings = dict(config.model)
    suite, chosen = chosen_attacks(config.suite, config.attacks)
    model = build(models.registry, model_settings.pop("name", None), model_settings, "model")
    dataset = open_dataset(data.dataset, **data.params)
    check_given(config, model, dataset)
    plan = Plan(
        config=config,
        points=given_points(model, expand(config.defenses)),
        suite=suite,
        attacks={label: _attack(label, params) for label, params in chosen.items()},
        model=model,
        dataset=dataset,
        metrics=_metrics(config.metrics.names),
        extractor=build(results_features.registry, config.metrics.features, config.metrics.features_params, "metrics"),
    )
    check_models(config.splits, len(plan.points))
    check_weights(getattr(plan.model, "smallest", 0))
    if not plan.is_given:  # which has no audit
        _check_statistics(config)
    pool_key = _pool_key(plan)
    extractor_key = _extractor_key(plan, pool_key)
    code = sorted({name for metric in plan.metrics for name in _code(metric, "leakfront.harness.stages.reference")})
    reference_key = content_key("reference", [row_name(m) for m in plan.metrics], [extractor_key], code)
    names = [_slug(point.label) for point in plan.points]
    check_names(names)
    if len(set(names)) < len(names):
        raise InputError("two defenses differ only in signs that a folder's name cannot hold; give one a `label`")
    cells = [
        CellPlan(f"{name}-split{split}", point, split, _cell_keys(plan, pool_key, extractor_key, point, split))
        for name, point in zip(names, plan.points, strict=True)
        for split in range(config.splits)
    ]
    return Plan(
        config, plan.points, suite, plan.attacks, plan.model, plan.dataset, plan.metrics, plan.extractor, pool_key,
        extractor_key, reference_key, cells,
    )  # fmt: skip


def _attack(label: str, params: dict[str, Any]) -> Attack:
    check_names([label])
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", label):
        raise InputError(f"attacks.{label}: an attack is called by letters, digits, dots, dashes and underscores")
    name = params.get("attack", label)
    rest = {key: value for key, value in params.items() if key != "attack"}
    attack: Attack = build(attacks.registry, name, rest, f"attacks.{label}")
    return attack


def _metrics(entries: Sequence[str | dict[str, Any]]) -> list[Any]:
    built = []
    for number, entry in enumerate(entries):
        params = {"name": entry} if isinstance(entry, str) else dict(entry)
        built.append(build(results_metrics.registry, params.pop("name", None), params, f"metrics.names[{number}]"))
    names = [row_name(metric) for metric in built]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"metrics.names lists {twice!r} twice; take one out")
    return built


def _distinct(signals: Iterable[Any]) -> list[Any]:
    by_key = {signal_key(signal): signal for signal in signals}
    return [by_key[key] for key in sorted(by_key)]


def notes_on(plan: Plan) -> list[str]:
    """A line for what cannot be measured where membership is given, and for each attack that is left out or has too few
    shadow models to work as its source describes."""
    shadows = plan.config.splits - 1
    notes = {label: plan.note(label, shadows) for label in plan.attacks}
    return [*given_notes(plan.dataset), *(f"attack {label}: {note}" for label, note in notes.items() if note)]


def _check_statistics(config: Config) -> None:
    singles = config.data.pool - config.data.duplicates.groups
    if singles < 0:
        raise InputError(
            f"data.duplicates.groups is {config.data.duplicates.groups}, more than the pool's {config.data.pool} images"
        )
    if config.statistics.audit_guesses > singles:
        raise InputError(
            f"statistics.audit_guesses is {config.statistics.audit_guesses}, but only {singles} pool images have a "
            "coin of their own (data.pool less data.duplicates.groups); it must not be larger"
        )


def _pool_key(plan: Plan) -> str:
    data = plan.config.data
    # where the files lie does not matter, what they are does
    nowhere = ("root", "download", "path", *getattr(plan.dataset, "places", ()))
    params = {k: v for k, v in parameters(plan.dataset).items() if k not in nowhere}
    settings = [type(plan.dataset).__name__, params, data.pool, data.reference, data.duplicates.model_dump(),
                plan.config.seed, _fingerprint(plan.dataset)]  # fmt: skip
    modules = [
        "leakfront.harness.pool.pool",
        "leakfront.harness.pool.planted_duplicates",
        "leakfront.harness.stages.pool",
        *_code(plan.dataset),
    ]
    modules += ["leakfront.harness.pool.known_membership"] if plan.is_given else []
    return content_key("pool", settings, [], modules)


def _fingerprint(dataset: Any) -> list[Any]:
    """Names, sizes and times of the files that a data set given by a path consists of; empty for named data sets."""
    if hasattr(dataset, "fingerprint"):
        return list(dataset.fingerprint())
    if not isinstance(path := getattr(dataset, "path", None), str):
        return []
    root = user_path(path)
    if hasattr(dataset, "listed"):
        files = dataset.listed()
    else:
        files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    return file_facts(root, files)


def _extractor_key(plan: Plan, pool_key: str) -> str:
    """Of the fitted extractor and its features of real images and noise; whatever metrics are made of them."""
    libraries = {name: version(name) for name in ("torch", "torch-fidelity")}
    extractor, config = plan.extractor, plan.config
    settings = [extractor.name, extractor.version(), config.seed, config.sampling.images, libraries]
    return content_key("extractor", settings, [pool_key], _code(plan.extractor, *_FEATURES))


def _cell_keys(plan: Plan, pool_key: str, extractor_key: str, point: DefensePoint, split: int) -> dict[str, str]:
    config, stack = plan.config, point.stack
    layers = [[layer.name, parameters(layer)] for layer in stack]
    libraries = {name: version(name) for name in ("torch", "torchvision", "diffusers", "opacus")}
    stack_code = sorted({name for layer in stack for name in _code(layer)})
    model_code = _code(plan.model, "leakfront.models.diffusion")
    depends_on = getattr(plan.model, "version", lambda: parameters(plan.model))()
    prepare = content_key(
        "prepare",
        [layers, config.data.coin, split, config.seed],
        [pool_key],
        ["leakfront.harness.stages.prepare", *stack_code],
    )
    training = config.training.model_dump(exclude={"checkpoint_seconds"})
    device = config.execution.device.partition(":")[0]  # which of several GPUs does not matter
    if config.execution.processes > 1:  # which changes the order of sums
        training["processes"] = config.execution.processes
        model_code = [*model_code, "leakfront.harness.execution.data_parallel"]
    train = content_key(
        "train",
        [training, plan.model.name, depends_on, layers, libraries, device, config.seed],
        [prepare],
        [
            "leakfront.harness.training.loop",
            "leakfront.harness.stages.train",
            "leakfront.defenses.training.plain_step",
            *stack_code,
            *model_code,
        ],
    )
    sampling = config.sampling.model_dump(exclude={"batch_size"})
    sample = content_key(
        "sample",
        [sampling, layers],
        [train],
        ["leakfront.harness.stages.sample", *with_imports("leakfront.models.sampling"), *stack_code],
    )
    features = content_key("features", [], [sample, extractor_key], _FEATURES)
    asked = [[signal_key(s) for s in group] for group in (plan.signals, plan.outside_signals, plan.generations)]
    if plan.outside_signals:
        asked.append([f"outside={config.probe.outside}"])
    attack_code = {name for attack in plan.attacks.values() for name in _code(attack)}
    code = [
        "leakfront.harness.stages.probe",
        *attack_code,
        *with_imports("leakfront.attacks.queries.queries"),
        *with_imports("leakfront.models.sampling"),
    ]
    inputs = [train, features] if plan.generations else [train]
    probe = content_key("probe", asked, inputs, sorted(set(code)))
    return {"prepare": prepare, "train": train, "sample": sample, "features": features, "probe": probe}


def _code(plugin: Any, *more: str) -> list[str]:
    return sorted({*with_imports(type(plugin).__module__), *more})


def _slug(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+=]+", "_", label).strip("_")
