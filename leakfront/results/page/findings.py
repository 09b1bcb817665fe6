"""What a run shows, in sentences with their numbers. A sentence says no more than the rows and their intervals do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.run.claims import audit_delta
from leakfront.results.run.rows import HELD_OUT, NOISE
from leakfront.results.run.summary import EXTRACTION, Point, Summary, Value
from leakfront.results.tables.table import number, shown

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

FEWEST_SPLITS = 3  # for a claim that two defenses differ
LEVEL = 0.05
DETECTED = 0.95  # of the sets of members, for a size to be called enough
_NAMED = 4  # cells in a sentence


def findings(run: RunData) -> list[str]:
    """What concerns the whole run, the most serious first, then a sentence for each defense and strength."""
    summary = run.summary
    measured = [point for point in summary.points if summary.splits(point)]
    few = [point for point in measured if len(summary.splits(point)) < FEWEST_SPLITS]
    against_none = _Comparisons(summary, measured)
    given = run.known_membership
    return [
        *run.differences,
        *(text for point in measured if (text := _refuted(run, summary, point))),
        *(text for control in summary.controls if (text := _control(summary, measured, control, given))),
        *(text for point in summary.points if (text := _not_trained(summary, point))),
        *_front(summary, measured),
        *_scale(summary),
        *(text for attack in summary.attacks if (text := _sets(summary, attack))),
        *(
            [
                f"Fewer than {FEWEST_SPLITS} splits were measured for {_names(few)}; no difference between them and "
                "another defense is claimed."
            ]
            if few and len(measured) > 1
            else []
        ),
        *(_of_point(run, summary, against_none, point) for point in measured),
    ]


class _Comparisons:
    """Every defense against the undefended model of its run.

    A difference is shown by a paired t test over the splits, corrected for the number of defenses (Holm), or, where
    one of the two is equal in all splits, by intervals that lie apart.
    """

    def __init__(self, summary: Summary, points: list[Point]) -> None:
        from leakfront.results.statistics.splits import apart_without_variance, holm, paired_test

        self._p: dict[tuple[str, Point], float] = {}
        self._pairs: dict[tuple[str, Point], tuple[Value, Value]] = {}
        self._apart: dict[tuple[str, Point], bool] = {}
        quantities: dict[str, tuple[str, str, float | None]] = {
            "fid": ("fid", summary.fid_metric, None),
            "extracted": (EXTRACTION, "extracted_at_fdr", summary.rate),
        }
        for quantity, (source, metric, level) in quantities.items():
            p_values = {}
            for point in points:
                baseline = summary.baseline_of(point)
                if baseline is None or baseline == point:
                    continue
                mine, other = (summary.per_split(p, source, metric, level) for p in (point, baseline))
                shared = [split for split in mine if split in other and mine[split].known and other[split].known]
                ours, theirs = (summary.value(p, source, metric, level=level) for p in (point, baseline))
                if len(shared) >= FEWEST_SPLITS and ours is not None and theirs is not None:
                    pairs = [[values[split] for split in shared] for values in (mine, other)]
                    a, b = ([v.value for v in values] for values in pairs)
                    ends = [([v.low for v in values], [v.high for v in values]) for values in pairs]
                    p_values[point], _ = paired_test(a, b, *ends)
                    over_splits = (ours.low, ours.high), (theirs.low, theirs.high)
                    self._apart[quantity, point] = apart_without_variance(a, b, *over_splits)
                    self._pairs[quantity, point] = (ours, theirs)
            adjusted: Iterable[float] = holm(list(p_values.values())) if p_values else []
            self._p |= {(quantity, point): float(p) for point, p in zip(p_values, adjusted, strict=True)}

    def verdict(self, quantity: str, point: Point, less: str, more: str) -> str:
        """`less` or `more` and what shows it, or that no difference is shown; empty where none was tested."""
        if (quantity, point) not in self._pairs:
            return ""
        ours, theirs = self._pairs[quantity, point]
        p = self._p[quantity, point]
        if p < LEVEL:
            shown_by = f"p = {p:.2g}"
        elif self._apart[quantity, point]:
            shown_by = "intervals apart"
        else:
            return "no difference shown"
        return f"{less if ours.value < theirs.value else more}, {shown_by}"


def _of_point(run: RunData, summary: Summary, against_none: _Comparisons, point: Point) -> str:
    parts = [
        _extraction(summary, against_none, point),
        _quality(summary, against_none, point),
        _membership(summary, point),
        _audit(run, summary, point),
    ]
    return f"{point.label}: {'; '.join(part for part in parts if part)}."


def _extraction(summary: Summary, against_none: _Comparisons, point: Point) -> str:
    found, baseline = summary.extracted(point), summary.baseline_of(point)
    if found is None or not found.known:
        return "extraction was not measured"
    per_split = summary.extracted_per_split(point).values()
    members = np.mean([value.n for value in per_split]) if per_split else found.n
    text = f"{number(found.value)} of {number(round(float(members)))} members extracted at {summary.fdr} FDR"
    if found.value == 0:
        text += f", with a 95% interval up to {number(found.high)}" if math.isfinite(found.high) else ""
        closest = summary.per_split(point, EXTRACTION, "members_before_decoys").values()
        asides = (
            [f"{_series([number(v.value) for v in closest])} matched more closely than any decoy"] if closest else []
        )
        excess = summary.value(point, EXTRACTION, "excess_adaptive")
        if excess is not None and excess.known and excess.has_interval:
            sign = "above 0" if excess.above(0) else "below 0" if excess.below(0) else "not told apart from 0"
            asides.append(f"under the fixed rule {_estimate(excess)} more members than decoys, {sign}")
        text += f" ({'; '.join(asides)})" if asides else ""
    elif found.has_interval:
        text += f" {shown(found).interval}"
    if baseline is not None and baseline != point:
        other = summary.extracted(baseline)
        if other is not None and other.known:
            verdict = against_none.verdict("extracted", point, "fewer", "more")
            text += f", against {number(other.value)} for {baseline.label}" + (f" ({verdict})" if verdict else "")
    past = summary.extracted_with_weights(point)
    if past is not None and past.known:
        text += f"; {_estimate(past)} from the weights, past what guards the sampler"
    return text


def _quality(summary: Summary, against_none: _Comparisons, point: Point) -> str:
    fid, baseline, noise = summary.fid(point), summary.baseline_of(point), summary.scale_end(NOISE)
    if fid is None or not fid.known:
        return ""
    text = f"FID {_estimate(fid)}"
    other = summary.fid(baseline) if baseline is not None and baseline != point else None
    if baseline is not None and other is not None and other.known:
        verdict = against_none.verdict("fid", point, "better", "worse")
        text += f" against {number(other.value)} for {baseline.label}" + (f" ({verdict})" if verdict else "")
    if noise is not None and noise.known and fid.has_interval and not fid.below(noise.value):
        relation = "worse than" if fid.above(noise.value) else "not told apart from"
        text += f", {relation} noise ({number(noise.value)})"
    return text


def _membership(summary: Summary, point: Point) -> str:
    attacks = [attack for attack in summary.attacks if attack not in summary.controls]
    values = {attack: summary.value(point, attack, "auc") for attack in attacks}
    known = {attack: value for attack, value in values.items() if value is not None and value.known}
    if not known:
        return ""
    judged = {attack: value for attack, value in known.items() if value.has_interval}
    above = {attack: value for attack, value in judged.items() if value.above(0.5)}
    attack, best = max((above or known).items(), key=lambda pair: pair[1].value)
    highest = f"{attack} AUC {_estimate(best, 2)}"
    if not judged:
        return f"highest of {len(known)} attacks: {highest}, without an interval"
    if not above:
        return f"no attack's AUC lies above 0.5 (of {len(judged)} the highest is {highest})"
    have = "have" if len(above) > 1 else "has"
    text = f"{len(above)} of {len(judged)} attacks {have} an AUC above 0.5, the highest {highest}"
    if not _more_than_chance(len(above), len(judged)):
        return f"{text}, which chance may give among so many"
    found = summary.extracted(point)
    stopped = point not in summary.baselines and found is not None and found.value == 0
    return text + (": membership inference still stands" if stopped else "")


def _more_than_chance(above: int, judged: int) -> bool:
    """Whether fewer of so many intervals would lie above a half by chance (1 in 40 does) in all but 5% of cases."""
    from scipy.stats import binom

    return bool(binom.sf(above - 1, judged, 0.025) < LEVEL)


def _audit(run: RunData, summary: Summary, point: Point) -> str:
    bound, ceiling = (summary.strongest(point, f"epsilon_lower_bound{end}") for end in ("", "_ceiling"))
    if bound is None:
        return ""
    most = f" (this audit could prove {number(ceiling[1].value, 2)})" if ceiling else ""
    claim = run.info.get("guarantees", {}).get(point.label)
    claimed = f", claimed epsilon {number(float(claim['epsilon']))}" if claim else ""
    if bound[1].value <= 0:
        return f"the audit proves no lower bound on epsilon{most}{claimed}"
    return f"audited epsilon at least {number(bound[1].value, 2)}{most}{claimed}"


def _refuted(run: RunData, summary: Summary, point: Point) -> str:
    """The most serious finding: an audit that contradicts a guarantee."""
    bound, claim = summary.strongest(point, "epsilon_lower_bound"), run.info.get("guarantees", {}).get(point.label)
    if bound is None or not claim or bound[1].value <= float(claim["epsilon"]):
        return ""
    delta = audit_delta(run)
    if delta is not None and delta < float(claim["delta"]):
        return ""  # a larger epsilon at a smaller delta contradicts nothing
    return (
        f"{point.label}: the audit ({bound[0]}) proves epsilon at least {number(bound[1].value, 2)} at 95%, above "
        f"the claimed {number(float(claim['epsilon']))}: the guarantee does not hold as implemented."
    )


def _control(summary: Summary, points: list[Point], control: str, given: bool) -> str:
    """An attack that never asks the model must not tell members from decoys; if it does, something else gives them
    away."""
    aucs = {(p, split): v for p in points for split, v in summary.per_split(p, control, "auc").items()}
    judged = {cell: value for cell, value in aucs.items() if value.known and value.has_interval}
    told = [f"{p.label} split {split}" for (p, split), v in judged.items() if v.above(0.5) or v.below(0.5)]
    if not told:
        return ""
    named = ", ".join(told[:_NAMED]) + (", …" if len(told) > _NAMED else "")
    why = "members and decoys differ without the model" if given else "coins and images are not independent"
    shared = (
        ", and in many cells at once: those of a split share their coins, and controls of two splits that are fitted "
        "on each other's coins miss together"
    )
    return (
        f"The model-blind control ({control}) tells members from decoys in {len(told)} of {len(judged)} cells "
        f"({named}): {why} there, by chance or by fault; membership numbers of such a cell cannot be trusted. By "
        f"chance 1 interval in 20 misses 0.5{'' if given else shared}."
    )


def _sets(summary: Summary, attack: str) -> str:
    """From how many images on a set is known to be from the training data of the undefended model."""
    point, detected = summary.undefended, "set_detected_members"
    sizes = summary.levels(point, attack, detected)
    shares = {size: summary.value(point, attack, detected, level=size) for size in sizes}
    known = {int(size): share.value for size, share in shares.items() if share is not None and share.known}
    if not known:
        return ""
    size = next((size for size, share in known.items() if share >= DETECTED), None)
    shown_at = max(known) if size is None else size
    alarms = summary.value(point, attack, "set_detected_decoys", level=shown_at)
    false = (
        f", and {_percent(alarms.value)} of sets of {shown_at} decoys," if alarms is not None and alarms.known else ""
    )
    verdict = (
        "no size tested detects 95% of them" if size is None else f"95% of them are detected from {size} images on"
    )
    return (
        f"Whole sets of members ({attack}, {point.label}): {verdict}; {_percent(known[shown_at])} of random sets of "
        f"{shown_at} members{false} are called members at p < {LEVEL:g}."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _not_trained(summary: Summary, point: Point) -> str:
    diverged, failed = summary.diverged(point), summary.failed(point)
    parts = []
    if diverged:
        steps = ", ".join(f"split {split} at step {step}" for split, step in diverged.items())
        parts.append(f"training diverged ({steps})")
    if failed:
        parts.append(f"split{'s' if len(failed) > 1 else ''} {', '.join(failed)} failed and could not be measured")
    rest = "nothing was measured" if not summary.splits(point) else "the numbers are those of the other splits"
    return f"{point.label}: {'; '.join(parts)}; {rest}." if parts else ""


def _front(summary: Summary, points: list[Point]) -> list[str]:
    """Who is on the front, with the probability under the intervals; only for what has splits enough to claim it."""
    from leakfront.results.statistics.front import front_probability, pareto_front

    found = [(p, summary.fid(p), summary.extracted(p)) for p in points if len(summary.splits(p)) >= FEWEST_SPLITS]
    known = [(p, f, e) for p, f, e in found if f is not None and e is not None and f.known and e.known]
    if len(known) < 2:
        return []
    x, y = (
        np.array([[v.value, v.low, v.high] for v in axis]).T
        for axis in ([f for _, f, _ in known], [e for _, _, e in known])
    )
    chance = front_probability(x[0], x[1], x[2], y[0], y[1], y[2], seed=0)
    best = [
        f"{p.label} ({probability:.2f})"
        for (p, _, _), on, probability in zip(known, pareto_front(x[0], y[0]), chance, strict=True)
        if on
    ]
    return [
        f"On the front of FID against extracted images, beaten by no other on both (in brackets: the probability "
        f"of being on it, given the intervals): {', '.join(best)}."
    ]


def _scale(summary: Summary) -> list[str]:
    ends = [(end.strip("()"), summary.scale_end(end)) for end in (HELD_OUT, NOISE)]
    known = [f"{_estimate(value)} for {name}" for name, value in ends if value is not None and value.known]
    return [f"The ends of the FID scale: {', '.join(known)}."] if known else []


def _estimate(value: Value, decimals: int | None = None) -> str:
    return str(shown(value, decimals))


def _series(words: list[str]) -> str:
    """The numbers of the splits: "7, 18 and 13"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _names(points: list[Point]) -> str:
    return ", ".join(point.label for point in points)
