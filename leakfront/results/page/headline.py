"""At most five sentences that a reader may repeat: what each family of defenses did, against the undefended model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from leakfront.results.page.comparisons import FEWEST_SPLITS, LEVEL, Comparisons
from leakfront.results.page.family_sentence import family_sentence, undefended_sentence
from leakfront.results.page.finding import Finding
from leakfront.results.run.point import Point
from leakfront.results.run.summary import Summary

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

MOST = 5  # sentences
PRIVATE, OTHER = "Private training", "Other defenses"
# Where a defense acts -> its family. A stack counts where it acts last.
PLACES = {
    "data": "Training data",
    "batches": "Training batches",
    "training": "Training procedure",
    "sampling": "Sampling guards",
}
ORDER = ("Training data", "Training batches", "Training procedure", PRIVATE, "Sampling guards", OTHER)


def headline(run: RunData, summary: Summary, comparisons: Comparisons, points: Sequence[Point]) -> list[Finding]:
    """One sentence for each family of defenses, and one for the undefended model if five allow it.

    points: those that were measured.
    """
    bare = _undefended(run, summary, points)
    groups = _families(run, summary, points)
    sentences = [family_sentence(summary, comparisons, name, mine) for name, mine in groups.items()]
    if bare and len(sentences) < MOST:
        sentences.insert(0, undefended_sentence(summary, comparisons, bare))
    return sentences


def family(run: RunData, point: Point) -> str:
    """Private training if a defense has a guarantee; else the place where its stack acts last."""
    if run.info.get("guarantees", {}).get(point.label):
        return PRIVATE
    acts_on = _acts_on(run, point)
    return next((name for place, name in reversed(PLACES.items()) if place in acts_on), OTHER)


def terms(run: RunData, summary: Summary, comparisons: Comparisons, points: Sequence[Point]) -> str:
    """What the words of the sentences claim, and what they do not."""
    brackets = "Brackets are 95% intervals; an AUC of 0.5 is guessing."
    if tests := comparisons.guessing.count:
        brackets += (
            f" “Above guessing”: a test of some attack's AUC against 0.5 gives p < {LEVEL:g}, corrected for all "
            f"{tests} tests of the run (Holm)."
        )
    if summary.in_front:
        brackets += (
            f" {summary.in_front} was named as the attack in front before the run. The highest AUC is chosen after "
            "seeing all and its interval is not corrected for that."
        )
    groups = _families(run, summary, points)
    if any(len(mine) > 1 for mine in groups.values()):
        brackets += " “a to b” are the lowest and the highest value over the strengths."
    if not summary.baselines or not groups:
        return brackets
    if not comparisons.most:
        few = f"that needs at least {FEWEST_SPLITS} splits of both models"
        return f"{brackets} No difference from the undefended model is claimed: {few}."
    most = comparisons.most
    strengths = f"{most} strengths" if most > 1 else "one strength"
    alone = " Elsewhere, intervals that lie apart are no proof: among many strengths, some lie apart by chance."
    return (
        f"{brackets} Fewer or more, lower or higher, better or worse are claimed only where a paired t test over the "
        f"splits, corrected for {strengths} (Holm), gives p < {LEVEL:g}, or where one of the two models has the same "
        f"value in all splits and the intervals do not overlap.{alone if most > 1 else ''} “No difference shown” does "
        "not mean that there is none."
    )


def _undefended(run: RunData, summary: Summary, points: Sequence[Point]) -> list[Point]:
    """The undefended models, and models trained elsewhere, of whose defenses nothing is known."""
    return [point for point in points if point in summary.baselines or not _acts_on(run, point)]


def _families(run: RunData, summary: Summary, points: Sequence[Point]) -> dict[str, list[Point]]:
    """The defended points by family, at most five families; if there are six, the last two are merged."""
    bare = _undefended(run, summary, points)
    groups: dict[str, list[Point]] = {}
    for point in points:
        if point not in bare:
            groups.setdefault(family(run, point), []).append(point)
    ordered = [(name, groups[name]) for name in ORDER if name in groups]
    if len(ordered) > MOST:
        *first, (name, mine), (_, others) = ordered
        ordered = [*first, (f"{name} and others", mine + others)]
    return dict(ordered)


def _acts_on(run: RunData, point: Point) -> list[str]:
    """Where the defenses of a point act; what run.json does not state counts as an unknown place."""
    return [str(place) for place in run.info.get("acts_on", {}).get(point.label, ("unknown",)) if place != "nothing"]
