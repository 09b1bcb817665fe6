"""A study from its file: the settings of each arm, and its questions, checked before anything runs."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leakfront.errors import InputError
from leakfront.harness.plan.plan import Plan
from leakfront.harness.settings.file import overridden, read_settings
from leakfront.harness.settings.sections import Config
from leakfront.harness.settings.study import Study
from leakfront.labels import NAME, is_name
from leakfront.registry import build
from leakfront.results.studies import Selector, effects
from leakfront.results.studies.judging.answer import Question
from leakfront.results.studies.judging.data import AMONG, OF_SCORES, named

ONLY_ARM = "run"  # the name of the run of a study without arms


@dataclass(frozen=True)
class LoadedStudy:
    """A study that can be run.

    config: the settings that its arms share, with the section `study`. arms: the settings of each run by its name,
    which is also the run's name in rows; they have no section `study`.
    """

    config: Config
    study: Study
    arms: dict[str, Config]

    @property
    def name(self) -> str:
        """Of its config."""
        return self.config.name


def is_study(source: str) -> bool:
    """Whether a TOML file, or a bundled benchmark, has a section `study`. Raises `InputError` if it cannot be read."""
    return "study" in read_settings(source)


def load_study(source: str, overrides: tuple[str, ...] = (), smoke: bool = False) -> LoadedStudy:
    """Read a study and build all effects; see `settings.file.load_config`. An override changes all arms alike.

    Raises `InputError`.
    """
    settings = read_settings(source)
    config = overridden(copy.deepcopy(settings), overrides, smoke)
    if config.study is None:
        raise InputError(f"{source} has no section [study], so it is a benchmark and no study")
    settings.pop("study")
    of_arms = tuple(o for o in overrides if not o.strip().startswith("study."))
    arms = {}
    for name, changes in (config.study.arms or {ONLY_ARM: {}}).items():
        if not is_name(name):
            raise InputError(f"study.arms has {name!r}; {NAME}")
        arm = overridden(merged(settings, changes), of_arms, smoke)
        arms[name] = arm.model_copy(update={"name": name, "title": f"{config.title or config.name}: {name}"})
    questions_of(config.study)
    return LoadedStudy(config, config.study, arms)


def merged(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A deep copy of settings with changes: a table with a `name` replaces the one there, other tables are merged."""
    found: dict[str, Any] = copy.deepcopy(dict(settings))
    for key, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(found.get(key), Mapping)
        found[key] = merged(found[key], value) if both and "name" not in value else copy.deepcopy(value)
    return found


def questions_of(study: Study) -> tuple[Question, ...]:
    """The questions with their effects built. Raises `InputError`."""
    questions = []
    for number, asked in enumerate(study.questions):
        params = dict(asked.effect)
        effect = build(effects, params.pop("name", None), params, f"study.questions[{number}].effect")
        questions.append(Question(asked.asks, effect, asked.expected, asked.margin, asked.around, asked.holds))
    return tuple(questions)


def check_models(study: Study, plans: Mapping[str, Plan]) -> None:
    """Raise `InputError` for a question about an arm or a model that the study does not have.

    Also for a metric that cannot be computed from scores, where the question asks for that.
    """
    for number, question in enumerate(questions_of(study)):
        for which in question.effect.selectors():
            if AMONG in which and which.get("metric") not in OF_SCORES:
                raise InputError(
                    f"study.questions[{number}].effect has among = {which[AMONG]!r} with metric "
                    f"{which.get('metric')!r}; it can be with {' or '.join(OF_SCORES)}"
                )
            if not any(_has(plan, which) for arm, plan in plans.items() if which.get("run", arm) == arm):
                where = f"study.questions[{number}].effect"
                raise InputError(f"{where} asks for {named(which)}, but the study trains no such model")


def _has(plan: Plan, which: Selector) -> bool:
    points = [(point.line, point.params) for point in plan.points]
    return any(which.get("defense", line) == line and which.get("params", params) == params for line, params in points)
