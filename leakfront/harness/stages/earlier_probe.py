"""What a cell's probe stage holds of an earlier plan of the run, so that added attacks ask only for what is new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from leakfront.attacks.contract import signal_key
from leakfront.documents import load_json
from leakfront.harness.machine.provenance import made_by
from leakfront.harness.stages.probed import GENERATED
from leakfront.harness.stages.stage import Work
from leakfront.harness.store.artifacts import read_manifest
from leakfront.harness.store.integrity import check_folder

Arrays = dict[str, np.ndarray]  # by "<signal key>/<name>"
Keys = Mapping[str, Mapping[str, str]]  # by file and signal key: the content key


@dataclass(frozen=True)
class Earlier:
    """arrays: by file, those that are stored under the keys of this run. seconds: what all that was stored took.

    calls: the model calls of stored generations, by generation key. aside: see `leakfront.harness.stages.sample.aside`.
    """

    arrays: Mapping[str, Arrays] = field(default_factory=dict)
    seconds: float = 0.0
    calls: Mapping[str, int] = field(default_factory=dict)
    aside: Mapping[str, float] = field(default_factory=dict)

    def with_aside(self, now: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
        """What `aside` returned now, with what was done before added."""
        return {
            key: {name: value + self.aside.get(name, 0.0) for name, value in found.items()}
            for key, found in now.items()
        }

    def of(self, file: str) -> Arrays:
        """The arrays of one file."""
        return self.arrays.get(file, {})

    def missing(self, file: str, asked: Iterable[Any]) -> list[Any]:
        """The signals, or generations, whose arrays are not in this file."""
        held = set(map(_key_of, self.of(file)))
        return [signal for signal in asked if signal_key(signal) not in held]


def earlier_probe(work: Work, keys: Keys) -> Earlier:
    """What the stored artifact of the cell has under these keys.

    Nothing unless the artifact is whole, and was made as this process makes things (`made_by`): that is recorded once
    for all signals.
    """
    folder, execution = work.layout.stage(work.cell.name, "probe"), work.plan.config.execution
    manifest = read_manifest(folder)
    if manifest is None or manifest.get("made") != made_by(execution.threads, execution.device):
        return Earlier()
    if check_folder(folder)[1]:
        return Earlier()
    try:
        return _read(folder, keys)
    except (ValueError, LookupError, TypeError, AttributeError):  # files of another form, as of earlier versions
        return Earlier()


def _read(folder: Path, keys: Keys) -> Earlier:
    facts: Any = load_json(folder / "probe.json")
    arrays = {}
    for file, wanted in keys.items():
        same = wanted.items() & facts["keys"][file].items()
        held = load_file(folder / file) if same else {}
        arrays[file] = {n: values for n, values in held.items() if (_key_of(n), wanted.get(_key_of(n))) in same}
    if not any(arrays.values()):
        return Earlier()
    generated = set(map(_key_of, arrays[GENERATED]))
    calls = {key: int(calls) for key, calls in facts["generation_calls"].items() if key in generated}
    beside = {name: float(value) for name, value in facts.get("aside", {}).items()}
    return Earlier(arrays, float(facts["seconds"]), calls, beside)


def _key_of(name: str) -> str:
    return name.rsplit("/", 1)[0]
