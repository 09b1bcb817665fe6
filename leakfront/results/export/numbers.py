"""What a run gives to a tracker: each number under a tag of its own, and the settings."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError
from leakfront.results.export.settings import without_paths, without_secrets_and_paths
from leakfront.results.run.made import facts_of_making

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

LOW, HIGH = "low", "high"  # end the tags of an interval's two ends
_COLUMNS = ("kind", "source", "metric", "level", "defense", "params", "split", "value", "ci_low", "ci_high")


@dataclass(frozen=True)
class Export:
    """name: of the run. numbers: by tag, all finite. settings: as JSON holds them. left_out: rows without a number."""

    name: str
    numbers: dict[str, float]
    settings: dict[str, Any]
    left_out: int


def exported(run: RunData) -> Export:
    """The numbers and settings of a finished run.

    A tag is KIND/SOURCE/METRIC/DEFENSE/SPLIT: "privacy/loss/tpr_at_fpr@0.01/dp_sgd_(epsilon=10)/split0", or "all" for
    a row over all splits. The ends of its interval are under the same tag with "/low" and "/high". Trackers have no
    place for what is no number or infinite: such rows are counted in `left_out`. Of the settings, what may be secret is
    left out, and absolute paths lose all but their last name. Raises `InputError` for two rows under one tag.
    """
    numbers: dict[str, float] = {}
    rows, left_out = run.rows, 0
    for kind, source, metric, level, defense, params, split, value, low, high in zip(
        *(rows[column].tolist() for column in _COLUMNS), strict=True
    ):
        tag = "/".join((kind, source, _metric(metric, level), _cell(defense, params), _split(split)))
        if tag in numbers:
            raise InputError(f"{run.folder / 'results.csv'} has two numbers for {tag}; it must have one row for each")
        if not math.isfinite(value):
            left_out += 1
            continue
        numbers[tag] = float(value)
        numbers |= {f"{tag}/{end}": float(at) for end, at in ((LOW, low), (HIGH, high)) if math.isfinite(at)}
    info = run.info
    facts: dict[str, Any] = {key: info[key] for key in ("title", "suite", "features", "versions") if key in info}
    if "made" in info:
        facts["made"] = facts_of_making(info)
    settings = without_secrets_and_paths({"config": info.get("config", {}), **facts})
    return Export(str(info["name"]), numbers, settings, left_out)


def _metric(metric: str, level: float) -> str:
    return metric if math.isnan(level) else f"{metric}@{level:g}"


def _cell(defense: str, params: str) -> str:
    """The defense at its strength, in characters that every tracker takes."""
    label = without_paths(f"{defense} ({params})" if params else defense)
    return re.sub(r"[^A-Za-z0-9.+=()@-]+", "_", label).strip("_")


def _split(split: str) -> str:
    return f"split{split}" if split.isdecimal() else split
