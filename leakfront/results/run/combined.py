"""Several runs drawn together, as one run whose defenses are named after their run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.errors import InputError
from leakfront.labels import without_controls
from leakfront.results.run.data import Cell, RunData
from leakfront.results.run.rows import HELD_OUT, NOISE

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

_SHARED = ("suite", "attacks", "features", "samples_per_model", "seed")  # and all of `dataset`, in run.json
_PROTOCOL = ("statistics", "sampling")  # sections of the config in run.json
_SPEED = ("batch_size", "images")  # keys that change no number, or are in _SHARED under another name
_FEW = 3  # attacks that a sentence names; of more it states the number


def combined(runs: Sequence[RunData], force: bool = False) -> RunData:
    """One run as it is; several as one, with defenses named "RUN: dp_sgd".

    Raises `InputError` for runs that differ in a setting that makes their numbers incomparable. With `force` they are
    merged, and the result states the differences.
    """
    if not runs:
        raise InputError("a report needs at least one run")
    return runs[0] if len(runs) == 1 else CombinedRuns(runs, force)


class CombinedRuns(RunData):
    """Several runs drawn together, with defenses named "RUN: dp_sgd". The ends of the FID scale are the first run's."""

    def __init__(self, runs: Sequence[RunData], force: bool = False) -> None:
        super().__init__(runs[0].folder)
        self._runs = dict(zip(_unique(runs), runs, strict=True))
        self._differing = _differing([run.info for run in runs])
        if self._differing and not force:
            raise InputError(_refusal(runs, *next(iter(self._differing.items()))))

    @property
    def sources(self) -> list[RunData]:
        """The runs, in the order given."""
        return list(self._runs.values())

    @property
    def differences(self) -> tuple[str, ...]:
        """One sentence on the differences that keep the numbers from being compared; nothing if there are none."""
        if not self._differing:
            return ()
        stated = dict(self._differing)
        if sum(key.startswith("dataset ") for key in stated) > 1:
            stated.pop("dataset checksum", None)  # it differs whenever anything else of the data does
        named = [f"{key.replace('_', ' ')} ({', '.join(_short(values))})" for key, values in stated.items()]
        listed = " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
        return (f"The runs differ in {listed}; numbers that depend on these settings do not compare.",)

    @property
    def known_membership(self) -> bool:
        """Whether members were known beforehand in all of the runs."""
        return all(run.known_membership for run in self.sources)

    @property
    def external_model(self) -> dict[str, Any] | None:
        """The facts about the first run's model, if the models of all runs were trained elsewhere."""
        models = [run.external_model for run in self.sources]
        return models[0] if all(model is not None for model in models) else None

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The rows of all runs; `run` and `defense` hold the run's name."""
        import pandas as pd

        parts = []
        for number, (name, run) in enumerate(self._runs.items()):
            rows = run.rows.copy()
            trained = ~rows["defense"].isin((HELD_OUT, NOISE))
            rows["run"] = name
            rows.loc[trained, "defense"] = f"{name}: " + rows.loc[trained, "defense"]
            parts.append(rows if number == 0 else rows[trained])
        merged = pd.concat(parts, ignore_index=True)
        features = [str(one) for one in dict.fromkeys(self._differing.get("features", ()))]
        renamed = {f"{m}_{one}": f"{m}_{self.info['features']}" for m in ("fid", "kid") for one in features}
        merged["metric"] = merged["metric"].replace(renamed)
        return merged

    @cached_property
    def cells(self) -> list[Cell]:
        """The cells of all runs."""
        return [
            Cell(_name(name, cell), f"{name}: {cell.defense}", cell.params, cell.split, cell.folder)
            for name, run in self._runs.items() for cell in run.cells
        ]  # fmt: skip

    @cached_property
    def _run_of(self) -> dict[str, RunData]:
        return {_name(name, cell): run for name, run in self._runs.items() for cell in run.cells}

    def pool_of(self, cell: Cell) -> Mapping[str, np.ndarray]:
        """The pool of the cell's run."""
        return self._run_of[cell.name].pool

    @cached_property
    def info(self) -> dict[str, Any]:
        """The first run's facts, with the names, features, metrics and attacks of all runs, and what run.json says of
        all defenses."""
        names = {"name": " + ".join(self._runs), "title": " and ".join(self._runs)}
        infos = [run.info for run in self._runs.values()]
        info: dict[str, Any] = {**infos[0], **names}
        for key in ("guarantees", "covers", "acts_on"):
            info[key] = {
                f"{name}: {label}": value
                for name, run in self._runs.items()
                for label, value in run.info.get(key, {}).items()
            }
        info["stops_short_of"] = {
            f"{name}: {label}": f"{name}: {whole}"
            for name, run in self._runs.items()
            for label, whole in run.info.get("stops_short_of", {}).items()
        }
        info["devices"] = [one.get("config", {}).get("execution", {}).get("device", "cpu") for one in infos]
        for key in ("attacks", "attack_notes"):
            info[key] = list(dict.fromkeys(entry for one in infos for entry in one.get(key, ())))
        for key in ("attack_facts", "metric_facts"):
            info[key] = {name: facts for one in reversed(infos) for name, facts in one.get(key, {}).items()}
        info["features"] = " or ".join(dict.fromkeys(str(one.get("features", "")) for one in infos))
        return info


def _name(run: str, cell: Cell) -> str:
    return f"{run}/{cell.name}"


def _differing(infos: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """The settings in which the runs differ, with each run's value: pool, coins, attacks, samples, features, …"""
    stated = {key: [info.get(key) for info in infos] for key in _SHARED}
    for key in dict.fromkeys(key for info in infos for key in info.get("dataset", {})):
        stated[f"dataset {key}"] = [info.get("dataset", {}).get(key) for info in infos]
    for section in _PROTOCOL:
        settings = [info.get("config", {}).get(section, {}) for info in infos]
        for key in dict.fromkeys(key for one in settings for key in one if key not in _SPEED):
            stated[f"{section} {key}"] = [one.get(key) for one in settings]
    return {key: values for key, values in stated.items() if any(value != values[0] for value in values)}


def _refusal(runs: Sequence[RunData], key: str, values: list[Any]) -> str:
    other = next(i for i, value in enumerate(values) if value != values[0])
    return (
        f"the runs {runs[0].info['name']!r} and {runs[other].info['name']!r} cannot be drawn together: {key} is "
        f"{values[0]!r} in the first and {values[other]!r} in the second; report them separately, run both with the "
        "same value, or merge them with --force"
    )


def _short(values: list[Any]) -> list[str]:
    """The values, shortened for a sentence: the number of many attacks, the start of a checksum."""
    if any(isinstance(value, list) for value in values):
        lists = [list(value or ()) for value in values]
        named = all(len(one) <= _FEW for one in lists)
        return ["+".join(map(str, one)) if named else str(len(one)) for one in lists]
    texts = ["none" if value is None else str(value) for value in values]
    return [f"{text[:8]}…" if len(text) > 24 else text for text in texts]


def _unique(runs: Sequence[RunData]) -> list[str]:
    """The runs' names; runs of one name are told apart by their folders, or by a number if these are called alike."""
    names = [str(run.info["name"]) for run in runs]
    folders = [run.folder.absolute().name for run in runs]
    out: list[str] = []
    for name, folder in zip(names, folders, strict=True):
        alike = [other for mine, other in zip(names, folders, strict=True) if mine == name]
        full = name if len(set(alike)) == 1 else f"{name} in {without_controls(folder)}"
        number = sum(other == full or other.startswith(f"{full} #") for other in out)
        out.append(f"{full} #{number + 1}" if number else full)
    return out
