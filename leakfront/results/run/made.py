"""How the artifacts behind a run's rows were made: versions, machines, threads, as run.json states them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OF_MACHINE = {"cpu": "processor", "instruction_set": "instruction set", "gpu": "GPU"}


def differing_machines(info: Mapping[str, Any]) -> str:
    """A sentence on rows that were made on different processors, instruction sets, GPUs or numbers of threads; or "".

    Different libraries need none: what depends on a library is made again when its version changes.
    """
    ways = info.get("made", ())
    named = [{**{name: way.get("machine", {}).get(key) for key, name in _OF_MACHINE.items()},
              "threads of a process": way.get("threads")} for way in ways]  # fmt: skip
    differences = []
    for what in named[0] if named else ():
        counts: dict[str, int] = {}
        for way, one in zip(ways, named, strict=True):
            if one[what] is not None:  # the pool is drawn on no GPU
                counts[str(one[what])] = counts.get(str(one[what]), 0) + way["artifacts"]
        if len(counts) > 1:
            differences.append(f"{what} {' or '.join(f'{value} ({count})' for value, count in counts.items())}")
    if not differences:
        return ""
    return (
        f"The artifacts behind these rows were not all made in one way: {'; '.join(differences)}. Sums of "
        "floating-point numbers differ between these in their last digits; run.json lists which artifacts "
        "were made in which way."
    )


def facts_of_making(info: Mapping[str, Any]) -> dict[str, str]:
    """Code, versions, machine and threads, by name. Where they differ, each value has its number of artifacts.

    Runs of earlier versions know those of their last session alone, and are shown so.
    """
    if "made" not in info:
        git = info.get("git", {})
        code = (git.get("commit") or "not in a checkout") + (" with uncommitted changes" if git.get("dirty") else "")
        known = {"code": code, "versions": flat(info.get("versions", {})), "machine": flat(info.get("machine", {}))}
        return {f"{name} of the last session": value for name, value in known.items()}
    ways = info["made"]
    libraries = dict.fromkeys(name for way in ways for name in way.get("versions", {}))
    versions = {name: _counted([(way.get("versions", {}).get(name, "?"), way) for way in ways]) for name in libraries}
    return {
        "code": _counted([(way.get("commit") or "not in a checkout", way) for way in ways]),
        "versions": flat(versions),
        "machine": _counted([(flat(way.get("machine", {})), way) for way in ways]),
        "threads of a process": _counted([(str(way.get("threads", "?")), way) for way in ways]),
    }


def flat(values: Mapping[str, Any]) -> str:
    """Names with values, on one line; what is None is left out."""
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in values.items() if value is not None)


def _counted(values: list[tuple[str, Any]]) -> str:
    """The value; or the different ones, each with its number of artifacts."""
    counts: dict[str, int] = {}
    for value, way in values:
        counts[value] = counts.get(value, 0) + way["artifacts"]
    if len(counts) == 1:
        return next(iter(counts))
    return " or ".join(f"{value} ({count} artifacts)" for value, count in counts.items())
