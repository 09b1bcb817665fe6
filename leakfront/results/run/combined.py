"""Several runs drawn together, as one run whose defenses carry their run's name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.errors import InputError
from leakfront.results.run.data import Cell, RunData

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

_SHARED = ("suite", "attacks", "features", "samples_per_model", "seed")  # and all of `dataset`, in run.json
_FEW = 3  # attacks that are named; of more their number is stated


def combined(runs: Sequence[RunData], force: bool = False) -> RunData:
    """One run as it is; several as one whose defenses carry their run's name. Raises `InputError` if they differ in
    anything that makes their numbers incomparable; with `force` the result says in what."""
    if not runs:
        raise InputError("a report needs at least one run")
    return runs[0] if len(runs) == 1 else CombinedRuns(runs, force)


class CombinedRuns(RunData):
    """Several runs drawn together: "NAME: dp_sgd". The ends of the FID scale are the first run's."""

    def __init__(self, runs: Sequence[RunData], force: bool = False) -> None:
        super().__init__(runs[0].folder)
        self._runs = dict(zip(_unique([str(run.info["name"]) for run in runs]), runs, strict=True))
        self._differing = _differing([run.info for run in runs])
        if self._differing and not force:
            raise InputError(_refusal(runs, *next(iter(self._differing.items()))))

    @property
    def sources(self) -> list[RunData]:
        """The runs, in the order given."""
        return list(self._runs.values())

    @property
    def differences(self) -> tuple[str, ...]:
        """One sentence on what keeps the numbers of the runs from being comparable, if anything does."""
        if not self._differing:
            return ()
        stated = dict(self._differing)
        if sum(key.startswith("dataset ") for key in stated) > 1:
            stated.pop("dataset checksum", None)  # which differs with any other
        named = [f"{key.replace('_', ' ')} ({', '.join(_short(values))})" for key, values in stated.items()]
        listed = " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
        return (f"The runs differ in {listed}; their numbers are not comparable in that.",)

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The rows of all runs, with `run` and `defense` telling them apart."""
        import pandas as pd

        parts = []
        for number, (name, run) in enumerate(self._runs.items()):
            rows = run.rows.copy()
            trained = ~rows["defense"].str.startswith("(")
            rows["run"] = name
            rows.loc[trained, "defense"] = f"{name}: " + rows.loc[trained, "defense"]
            parts.append(rows if number == 0 else rows[trained])
        merged = pd.concat(parts, ignore_index=True)
        features = [str(one) for one in dict.fromkeys(self._differing.get("features", ()))]
        renamed = {f"{m}_{one}": f"{m}_{' or '.join(features)}" for m in ("fid", "kid") for one in features}
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
        """The pool of the run that a cell is from."""
        return self._run_of[cell.name].pool

    @cached_property
    def info(self) -> dict[str, Any]:
        """The first run's, under all names, with the attacks, and the guarantees, reach and place of all defenses."""
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
        info["attack_facts"] = {k: v for one in reversed(infos) for k, v in one.get("attack_facts", {}).items()}
        return info


def _name(run: str, cell: Cell) -> str:
    return f"{run}/{cell.name}"


def _differing(infos: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """What the runs do not share, with the value of each: pool and coins, attacks, samples, features, statistics."""
    stated = {key: [info.get(key) for info in infos] for key in _SHARED}
    for key in dict.fromkeys(key for info in infos for key in info.get("dataset", {})):
        stated[f"dataset {key}"] = [info.get("dataset", {}).get(key) for info in infos]
    settings = [info.get("config", {}).get("statistics", {}) for info in infos]
    for key in dict.fromkeys(key for one in settings for key in one):
        stated[f"statistics {key}"] = [one.get(key) for one in settings]
    return {key: values for key, values in stated.items() if any(value != values[0] for value in values)}


def _refusal(runs: Sequence[RunData], key: str, values: list[Any]) -> str:
    other = next(i for i, value in enumerate(values) if value != values[0])
    return (
        f"the runs {runs[0].info['name']!r} and {runs[other].info['name']!r} cannot be drawn together: {key} is "
        f"{values[0]!r} in the first and {values[other]!r} in the second; report them apart, run both with the same "
        "one, or merge them all the same with --force"
    )


def _short(values: list[Any]) -> list[str]:
    """The values as a sentence has room for them; of many attacks their number, of a checksum its start."""
    if any(isinstance(value, list) for value in values):
        lists = [list(value or ()) for value in values]
        named = all(len(one) <= _FEW for one in lists)
        return ["+".join(map(str, one)) if named else str(len(one)) for one in lists]
    texts = ["none" if value is None else str(value) for value in values]
    return [f"{text[:8]}…" if len(text) > 24 else text for text in texts]


def _unique(names: list[str]) -> list[str]:
    """Names told apart by a number where two runs share one."""
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return out
