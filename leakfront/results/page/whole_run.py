"""Findings on the run as a whole: models that are missing, the front, the scale of FID, whole sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.page.comparisons import FEWEST_SPLITS, LEVEL, Comparisons
from leakfront.results.page.finding import Finding
from leakfront.results.run.point import Point
from leakfront.results.run.rows import HELD_OUT, NOISE
from leakfront.results.run.summary import Summary
from leakfront.results.tables.table import number, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

DETECTED = 0.95  # share of the sets of members that a sufficient size detects


def whole_run(summary: Summary, comparisons: Comparisons, points: list[Point]) -> list[Finding]:
    """points: those that were measured."""
    return [*_not_trained(summary), *_few(summary, points), *_front(summary, points), *_scale(summary),
            *_below(summary, comparisons, points),
            *(found for attack in summary.attacks if (found := _sets(summary, attack)) is not None)]  # fmt: skip


def _not_trained(summary: Summary) -> Iterator[Finding]:
    for point in summary.points:
        diverged, failed = summary.diverged(point), summary.failed(point)
        parts = []
        if diverged:
            steps = ", ".join(f"split {split} at step {step}" for split, step in diverged.items())
            parts.append(f"training diverged ({steps})")
        if failed:
            parts.append(f"split{'s' if len(failed) > 1 else ''} {', '.join(failed)} failed and could not be measured")
        rest = "nothing was measured" if not summary.splits(point) else "the numbers are those of the other splits"
        if parts:
            yield Finding(point.label, f"{'; '.join(parts)}; {rest}.")


def _few(summary: Summary, points: list[Point]) -> Iterator[Finding]:
    few = [point.label for point in points if len(summary.splits(point)) < FEWEST_SPLITS]
    if few and len(points) > 1:
        yield Finding(
            "",
            f"Fewer than {FEWEST_SPLITS} splits were measured for {', '.join(few)}; no difference between them and "
            "another defense is claimed.",
        )


def _front(summary: Summary, points: list[Point]) -> Iterator[Finding]:
    """The points on the front, each with its probability; only points with enough splits are considered."""
    from leakfront.results.statistics.front import front_probability, pareto_front

    found = [(p, summary.fid(p), summary.extracted(p)) for p in points if len(summary.splits(p)) >= FEWEST_SPLITS]
    known = [(p, f, e) for p, f, e in found if f is not None and e is not None and f.known and e.known]
    if len(known) < 2:
        return
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
    yield Finding(
        "",
        "On the front of FID against extracted images, where no other defense beats them on both (in brackets: the "
        f"probability of being on it, given the intervals): {', '.join(best)}.",
    )


def _scale(summary: Summary) -> Iterator[Finding]:
    held_out, noise, at_samples = summary.scale_end(HELD_OUT), summary.scale_end(NOISE), summary.held_out_at_samples
    known = []
    if held_out is not None and held_out.known:
        known.append(f"{shown(held_out)} for {held_out.n:,} held-out images")
        if at_samples is not None and at_samples.known:
            known[0] += (
                f" (about {number(at_samples.value)} at {at_samples.n:,}, the number of a model's samples, by "
                "extrapolation in 1/n)"
            )
    if noise is not None and noise.known:
        known.append(f"{shown(noise)} for noise")
    if known:
        yield Finding("", f"The ends of the FID scale: {', '.join(known)}.")


def _below(summary: Summary, comparisons: Comparisons, points: list[Point]) -> Iterator[Finding]:
    """Attacks that take members for decoys: they find them all the same."""
    for attack in summary.attacks:
        found = {p: summary.value(p, attack, "auc") for p in points if comparisons.guessing.sign(p, attack) < 0}
        values = [f"{shown(value, 2)} on {p.label}" for p, value in found.items() if value is not None]
        if values:
            yield Finding(
                f"AUC below 0.5 ({attack})",
                f"{'; '.join(values)}. The attack takes members for decoys there, more often than chance allows "
                f"(corrected for {comparisons.guessing.count} tests). That is a leak as well: with its sign turned "
                "round, the score finds members.",
            )


def _sets(summary: Summary, attack: str) -> Finding | None:
    """The size from which a set is known to be training data of the undefended model."""
    point, detected = summary.undefended, "set_detected_members"
    sizes = summary.levels(point, attack, detected)
    shares = {size: summary.value(point, attack, detected, level=size) for size in sizes}
    known = {int(size): share.value for size, share in shares.items() if share is not None and share.known}
    if not known:
        return None
    size = next((size for size, share in known.items() if share >= DETECTED), None)
    shown_at = max(known) if size is None else size
    alarms = summary.value(point, attack, "set_detected_decoys", level=shown_at)
    false = (
        f", and {_percent(alarms.value)} of sets of {shown_at} decoys," if alarms is not None and alarms.known else ""
    )
    verdict = (
        "no size tested detects 95% of them" if size is None else f"95% of them are detected from {size} images on"
    )
    return Finding(
        f"Whole sets of members ({attack}, {point.label})",
        f"{verdict}; {_percent(known[shown_at])} of random sets of {shown_at} members{false} are called members at "
        f"p < {LEVEL:g}.",
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
