"""Reasons not to trust numbers of a run, the most serious first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.page.finding import Finding
from leakfront.results.run.claims import audit_delta
from leakfront.results.run.controls import warnings
from leakfront.results.run.made import differing_machines
from leakfront.results.run.plausibility import doubts
from leakfront.results.run.point import Point
from leakfront.results.run.summary import Summary
from leakfront.results.tables.table import number

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

_NAMED = 4  # models named in a sentence


def cautions(run: RunData, summary: Summary, points: list[Point]) -> list[Finding]:
    """Models that are probably read wrongly, controls of known membership above 0.5, what several runs do not share,
    rows made on several machines, guarantees that an audit refutes, and controls among attacks that find members."""
    known = run.known_membership
    return [
        *(Finding(name, text) for name, text in doubts(run)),
        *(Finding("", text) for text in warnings(run)),
        *(Finding("", text) for text in run.differences),
        *(Finding("", text) for source in run.sources if (text := differing_machines(source.info))),
        *(found for point in points if (found := _refuted(run, summary, point)) is not None),
        *(found for control in summary.controls if (found := _control(summary, points, control, known)) is not None),
    ]


def _refuted(run: RunData, summary: Summary, point: Point) -> Finding | None:
    """An audit that contradicts a guarantee."""
    bound, claim = summary.strongest(point, "epsilon_lower_bound"), run.info.get("guarantees", {}).get(point.label)
    if bound is None or not claim or bound[1].value <= float(claim["epsilon"]):
        return None
    delta = audit_delta(run)
    if delta is not None and delta < float(claim["delta"]):
        return None  # a larger epsilon at a smaller delta contradicts nothing
    return Finding(
        point.label,
        f"the audit ({bound[0]}) proves epsilon at least {number(bound[1].value, 2)} at 95%, above the claimed "
        f"{number(float(claim['epsilon']))}: the guarantee does not hold as implemented.",
    )


def _control(summary: Summary, points: list[Point], control: str, known_membership: bool) -> Finding | None:
    """A control never queries the model. If it tells members from decoys all the same, something else does."""
    aucs = {(p, split): v for p in points for split, v in summary.per_split(p, control, "auc").items()}
    judged = {model: value for model, value in aucs.items() if value.known and value.has_interval}
    told = [f"{p.label} split {split}" for (p, split), v in judged.items() if v.above(0.5) or v.below(0.5)]
    if not told:
        return None
    named = ", ".join(told[:_NAMED]) + (", …" if len(told) > _NAMED else "")
    why = "members and decoys differ without the model" if known_membership else "coins and images are not independent"
    shared = (
        ", often for many models at once: models of one split share their coins, and controls that are fitted on each "
        "other's coins err together"
    )
    return Finding(
        f"Control ({control})",
        f"it never queries the model, yet it tells members from decoys for {len(told)} of {len(judged)} models "
        f"({named}). There, {why}, by chance or by a fault; do not trust membership numbers of these models. By "
        f"chance, 1 interval in 20 misses 0.5{'' if known_membership else shared}.",
    )
