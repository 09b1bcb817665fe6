"""The controls of stated membership in sentences: they stand in front of every number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from leakfront.results.run.rows import AUC_OF_HALVES, CONTROL_AUC, CONTROL_CONTENT, CONTROL_FILES, NEAR_COPIES

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData
    from leakfront.results.run.point import Point
    from leakfront.results.run.summary import Summary
    from leakfront.results.run.value import Value

_SEES = {CONTROL_CONTENT: "image content", CONTROL_FILES: "file facts (format, tables, size, mode, metadata)"}
_ALONE = {CONTROL_CONTENT: "alone tells", CONTROL_FILES: "alone tell"}
_BY_CHANCE = 0.02  # the share of decoys with a near copy that no warning is made of: digits and photographs have less
_SHORT = {CONTROL_CONTENT: "image content", CONTROL_FILES: "file facts"}


def stated(run: RunData) -> list[str]:
    """What the controls found, with AUC and interval, whatever it is; nothing for members drawn by coins."""
    return _of_points(run, _stated)


def warnings(run: RunData) -> list[str]:
    """A sentence for each control above 0.5, and one for near copies across the sides; none if all is well."""
    return _of_points(run, _warnings)


def in_short(run: RunData) -> list[str]:
    """The warnings in a few words, for the conditions under which every number was measured."""
    return _of_points(run, _in_short)


def of_halves(summary: Summary, point: Point) -> Value | None:
    """The AUC of the attack in front (without one: of the highest) between random halves of the decoys: the mean of
    many halvings, and the range of 95% of them."""
    leading = summary.leading(point)
    found = summary.value(point, leading[0], AUC_OF_HALVES) if leading else None
    return found if found is not None and found.known else None


def _of_points(run: RunData, sentences: Callable[[RunData, Point], list[str]]) -> list[str]:
    """The sentences of each point, each once; with several that differ, each names its point."""
    found = {point: sentences(run, point) for point in run.summary.points}
    different = len({tuple(each) for each in found.values()}) > 1
    told = [f"{point.label}: {text}" if different else text for point, each in found.items() for text in each]
    return list(dict.fromkeys(told))


def _control(run: RunData, point: Point, source: str) -> Value | None:
    return run.summary.value(point, source, CONTROL_AUC)


def _above(run: RunData, point: Point) -> dict[str, Value]:
    """The controls whose interval lies above 0.5."""
    values = {source: _control(run, point, source) for source in _SEES}
    return {source: value for source, value in values.items() if value is not None and value.above(0.5)}


def _near(run: RunData, point: Point, above: float = 0.0) -> str:
    """How many decoys are near copies of members: "6 of 24 decoys are …"; empty for a share not above `above`."""
    found = run.summary.value(point, NEAR_COPIES, NEAR_COPIES)
    if found is None or not found.known or found.value <= above * found.n:
        return ""
    what = "is a near copy of a member" if found.value == 1 else "are near copies of members"
    return f"{found.value:,.0f} of {found.n:,} decoys {what}"


def _stated(run: RunData, point: Point) -> list[str]:
    values = {source: value for source in _SEES if (value := _control(run, point, source)) is not None}
    if not values:
        return []
    known = [f"{_auc(value)} on {_SEES[source]}" for source, value in values.items() if value.known]
    missing = [f"{_SHORT[source]}: {value.method}" for source, value in values.items() if not value.known]
    sentences = []
    if known:
        sentences.append(
            f"Control without the model, by cross-validation: AUC {', '.join(known)}. It must be 0.5 but for chance "
            "(1 interval in 20 lies elsewhere)."
        )
    sentences += [f"Control without the model, {text}." for text in missing]
    near = _near(run, point)
    return [*sentences, *([f"{near}: pool/near_copies.csv has the pairs."] if near else [])]


def _warnings(run: RunData, point: Point) -> list[str]:
    found = [
        f"Warning: {_SEES[source]} {_ALONE[source]} members from decoys, without the model: AUC {_auc(value)}. Every "
        "number here measures that difference too, and may measure nothing else. Use decoys that were made and saved "
        "as the members were."
        for source, value in _above(run, point).items()
    ]
    if near := _near(run, point, _BY_CHANCE):
        found.append(
            f"Warning: {near}. A model that knows the member knows its copy, so the numbers here are too low, and "
            "counts of false matches too high. Remove one of each pair."
        )
    return found


def _in_short(run: RunData, point: Point) -> list[str]:
    found = [
        f"WARNING: {_SHORT[source]} {_ALONE[source]} members from decoys, AUC {_auc(value)}."
        for source, value in _above(run, point).items()
    ]
    if near := _near(run, point, _BY_CHANCE):
        found.append(f"WARNING: {near}.")
    return found


def _auc(value: Value) -> str:
    interval = f" [{value.low:.2f}, {value.high:.2f}]" if value.has_interval else ""
    return f"{value.value:.2f}{interval}"
