"""One paragraph for each defense at each strength: extraction, quality, membership inference, audit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.page.comparisons import Comparisons
from leakfront.results.page.finding import Finding
from leakfront.results.run.point import Point
from leakfront.results.run.rows import NOISE
from leakfront.results.run.saturation import SATURATED, WHY, strongest_is_saturated
from leakfront.results.run.summary import EXTRACTION, Summary
from leakfront.results.run.value import Value
from leakfront.results.tables.table import number, shown

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData


def paragraph(run: RunData, summary: Summary, comparisons: Comparisons, point: Point) -> Finding:
    """All that a point's rows show."""
    parts = [
        _extraction(summary, comparisons, point),
        _quality(summary, comparisons, point),
        _membership(summary, comparisons, point),
        _audit(run, summary, point),
    ]
    return Finding(point.label, f"{'; '.join(part for part in parts if part)}.")


def members(summary: Summary, point: Point) -> float | None:
    """How many members a model has, mean over splits; None where extraction was not measured."""
    counts = [value.n for s in summary.splits(point) if (value := summary.extracted(point, s)) is not None]
    return float(np.mean(counts)) if counts else None


def _extraction(summary: Summary, comparisons: Comparisons, point: Point) -> str:
    found, baseline, count = summary.extracted(point), summary.baseline_of(point), members(summary, point)
    if found is None or not found.known:
        return "extraction was not measured"
    of = number(round(found.n if count is None else count))
    text = f"{number(found.value)} of {of} members extracted at {summary.fdr} FDR"
    if found.value == 0:
        text += f", with a 95% interval up to {number(found.high)}" if math.isfinite(found.high) else ""
        asides = _asides(summary, point)
        text += f" ({'; '.join(asides)})" if asides else ""
    elif found.has_interval:
        text += f" {shown(found).interval}"
    if baseline is not None and baseline != point:
        other, outcome = summary.extracted(baseline), comparisons.outcome("extracted", point)
        if other is not None and other.known:
            verdict = f" ({outcome.said('fewer', 'more')})" if outcome is not None else ""
            text += f", against {number(other.value)} for {baseline.label}{verdict}"
    past = summary.extracted_with_weights(point)
    if past is not None and past.known:
        text += f"; {shown(past)} from the weights, past what guards the sampler"
    return text


def _asides(summary: Summary, point: Point) -> list[str]:
    """What little leakage shows where no image counts as extracted."""
    closest = summary.per_split(point, EXTRACTION, "members_before_decoys").values()
    asides = [f"{_series([number(v.value) for v in closest])} matched more closely than any decoy"] if closest else []
    excess = summary.value(point, EXTRACTION, "excess_adaptive")
    if excess is not None and excess.known and excess.has_interval:
        sign = "above 0" if excess.above(0) else "below 0" if excess.below(0) else "not told apart from 0"
        asides.append(f"under the fixed rule {shown(excess)} more members than decoys, {sign}")
    return asides


def _quality(summary: Summary, comparisons: Comparisons, point: Point) -> str:
    fid, baseline, noise = summary.fid(point), summary.baseline_of(point), summary.scale_end(NOISE)
    if fid is None or not fid.known:
        return ""
    text = f"FID {shown(fid)}"
    other = summary.fid(baseline) if baseline is not None and baseline != point else None
    if baseline is not None and other is not None and other.known:
        outcome = comparisons.outcome("fid", point)
        verdict = f" ({outcome.said('better', 'worse')})" if outcome is not None else ""
        text += f" against {number(other.value)} for {baseline.label}{verdict}"
    against = summary.against_noise(point)
    if noise is not None and against in (0, 1):
        text += f", {'worse than' if against else 'not told apart from'} noise ({number(noise.value)})"
    return text


def _membership(summary: Summary, comparisons: Comparisons, point: Point) -> str:
    """The AUC in front, how many attacks do better or worse than guessing, and the highest AUC."""
    leading, highest, guessing = summary.leading(point), summary.strongest(point, "auc"), comparisons.guessing
    if leading is None or highest is None:
        return ""
    tested, above, below = guessing.tested(point), guessing.above(point), guessing.below(point)
    front = f"{leading[0]} AUC {shown(leading[1], 2)}" if summary.in_front == leading[0] else ""
    best = f"the highest of {len(tested)} is {highest[0]} AUC {shown(highest[1], 2)}" if len(tested) > 1 else ""
    parts = [front or best or f"{highest[0]} AUC {shown(highest[1], 2)}"]
    if not tested:
        return parts[0]
    if len(tested) == 1:
        parts.append(f"{'above' if above else 'below' if below else 'not told apart from'} guessing")
    else:
        parts.append(f"{len(above)} of {len(tested)} attacks are above guessing" if above else
                     f"no attack of {len(tested)} is above guessing")  # fmt: skip
        if below:
            parts.append(f"{len(below)} below it")
    if front and best and highest[0] != leading[0]:
        parts.append(best)
    text = ", ".join(parts)
    return text + (": membership inference still works" if above and _stops_extraction(summary, point) else "")


def _stops_extraction(summary: Summary, point: Point) -> bool:
    found: Value | None = summary.extracted(point)
    return point not in summary.baselines and found is not None and found.value == 0


def _audit(run: RunData, summary: Summary, point: Point) -> str:
    bound, ceiling = (summary.strongest(point, f"epsilon_lower_bound{end}") for end in ("", "_ceiling"))
    if bound is None:
        return ""
    most = f" (this audit could prove {number(ceiling[1].value, 2)})" if ceiling else ""
    if strongest_is_saturated(summary, point):
        most = f" ({SATURATED}: {WHY})"
    claim = run.info.get("guarantees", {}).get(point.label)
    claimed = f", claimed epsilon {number(float(claim['epsilon']))}" if claim else ""
    claimed += _if_gaussian(summary, point)
    if bound[1].value <= 0:
        return f"the audit proves no lower bound on epsilon{most}{claimed}"
    return f"audited epsilon at least {number(bound[1].value, 2)}{most}{claimed}"


def _if_gaussian(summary: Summary, point: Point) -> str:
    """What the audit proves under its stronger assumption; empty where it was not made."""
    metric = "epsilon_lower_bound_f_dp"
    bound = summary.strongest(point, metric)
    if bound is None or bound[1].value <= 0:
        return ""
    full = f", {SATURATED}" if strongest_is_saturated(summary, point, metric) else ""
    return f"; if the training were μ-GDP (a Gaussian trade-off curve), at least {number(bound[1].value, 2)}{full}"


def _series(words: list[str]) -> str:
    """The numbers of the splits: "7, 18 and 13"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
