"""One sentence on several models: extraction, membership inference and FID, each with numbers, intervals and tests."""

from __future__ import annotations

from collections.abc import Sequence

from leakfront.results.page.by_caption import by_caption
from leakfront.results.page.comparisons import Comparisons, Quantity
from leakfront.results.page.finding import Finding
from leakfront.results.page.span import Read, known, plain, span
from leakfront.results.page.strengths import members
from leakfront.results.run.controls import of_halves
from leakfront.results.run.point import Point
from leakfront.results.run.rows import HELD_OUT, NOISE
from leakfront.results.run.summary import Summary
from leakfront.results.run.value import Value
from leakfront.results.tables.table import number

_NAMED = 8  # defenses named in a sentence
_NOT_EXTRACTED = "extraction was not measured"


def undefended_sentence(summary: Summary, comparisons: Comparisons, points: Sequence[Point]) -> Finding:
    """The models without a defense."""
    subject = f"{len(points)} models without a defense" if len(points) > 1 else summary.subject
    parts = [_extracted(summary, points) or _NOT_EXTRACTED, *by_caption(summary, points)]
    if auc := span(points, _leading(summary), 2):
        halves = span(points, lambda point: of_halves(summary, point), 2)
        beside = f", beside {halves} between random halves of the decoys" if halves else ""
        above, others = _above_chance(comparisons, points), _others(summary, points)
        parts.append(f"{_named(summary)} is {auc} ({above}){beside}{others}")
    fid = span(points, summary.fid)
    if fid:
        ends = {end.strip("()"): summary.scale_end(end) for end in (HELD_OUT, NOISE)}
        told = [f"{name} {number(value.value)}" for name, value in ends.items() if value is not None and value.known]
        parts.append(f"FID is {fid}" + (f" ({', '.join(told)})" if told else ""))
    return Finding(f"{subject[0].upper()}{subject[1:]}", f"{'; '.join(parts)}.")


def family_sentence(summary: Summary, comparisons: Comparisons, name: str, points: Sequence[Point]) -> Finding:
    """The points of one family, compared with the undefended model of their run."""
    bases = list(dict.fromkeys(b for p in points if (b := summary.baseline_of(p)) is not None))

    def compared(quantity: Quantity, read: Read, less: str, more: str, decimals: int | None = None) -> str:
        """The number without the defense, and the verdict."""
        base = plain(bases, read, decimals)
        verdict = _verdict(comparisons, quantity, list(known(points, read)), less, more)
        return f", against {base} undefended" + (f" ({verdict})" if verdict else "") if base else ""

    extracted, leading = _extracted(summary, points), _leading(summary)
    parts = []
    if extracted:
        parts.append(extracted + compared("extracted", summary.extracted, "fewer", "more"))
    elif known(summary.points, summary.extracted):  # else the sentence on undefended models says it for all
        parts.append(_NOT_EXTRACTED)
    past, auc = span(points, summary.extracted_with_weights), span(points, leading, 2)
    if past:
        parts.append(f"with the weights, {past} are extracted")
    parts += by_caption(summary, points, bases)
    if auc:
        above, against = _above_chance(comparisons, points), compared("auc", leading, "lower", "higher", 2)
        parts.append(f"{_named(summary)} is {auc} ({above}){against}{_others(summary, points)}")
    fids = known(points, summary.fid)
    if fids:
        noise = _against_noise(summary, fids)
        aside = f" ({noise})" if noise else ""
        parts.append(f"FID is {span(points, summary.fid)}{aside}" + compared("fid", summary.fid, "better", "worse"))
    defenses = list(dict.fromkeys(point.defense for point in points))
    named = "; ".join(defenses) if len(defenses) <= _NAMED else f"{len(defenses)} defenses"
    lost = [p for p in summary.points if p.defense in defenses and not summary.splits(p)]
    strengths = f"; {len(points)} strengths" if len(points) > 1 else ""
    missing = f"; {len(lost)} not measured" if lost else ""
    return Finding(f"{name} ({named}{strengths}{missing})", f"{'; '.join(parts) or 'nothing was measured'}.")


def _extracted(summary: Summary, points: Sequence[Point]) -> str:
    """ "at 5% FDR, 0 [0, 4] of 125 members are extracted"; empty if it was not measured."""
    measured = list(known(points, summary.extracted))
    counts = [count for point in measured if (count := members(summary, point)) is not None]
    of = f" of {number(round(sum(counts) / len(counts)))} members are extracted" if counts else " members are extracted"
    return f"at {summary.fdr} FDR, {span(measured, summary.extracted, of=of)}" if measured else ""


def _verdict(comparisons: Comparisons, quantity: Quantity, points: Sequence[Point], less: str, more: str) -> str:
    """What the tests show of these points; empty where none could be made."""
    outcomes = [found for point in points if (found := comparisons.outcome(quantity, point)) is not None]
    if not outcomes:
        return ""
    if len(points) == 1:
        return outcomes[0].said(less, more)
    counts = [(word, sum(outcome.sign == sign for outcome in outcomes)) for word, sign in ((less, -1), (more, 1))]
    parts = [f"{word} at {_share(count, len(points))}" for word, count in counts if count]
    silent, untested = [outcome for outcome in outcomes if not outcome.sign], len(points) - len(outcomes)
    if silent:
        where = f"any of {len(silent)}" if len(silent) == len(points) else f"{len(silent)} of {len(points)}"
        apart = sum(outcome.apart for outcome in silent)
        of = "all" if apart == len(silent) else f"{apart}"
        though = f", though the intervals lie apart at {of} of them" if apart else ""
        parts.append(f"no difference shown at {where}{though}")
    if untested:
        parts.append(f"not tested at {untested} of {len(points)}")
    return ", ".join(parts)


def _named(summary: Summary) -> str:
    """What the AUC in a sentence is: that of the attack in front, or the highest, chosen after seeing all."""
    attacks = [attack for attack in summary.attacks if attack not in summary.controls]
    if len(attacks) == 1 or summary.in_front:
        return f"the AUC of {summary.in_front or attacks[0]}"
    return f"the highest AUC of {len(attacks)} attacks"


def _others(summary: Summary, points: Sequence[Point]) -> str:
    """The highest AUC, where another attack stands in front: "; the highest of 8 attacks is 0.81 [0.75, 0.87]"."""
    attacks = [attack for attack in summary.attacks if attack not in summary.controls]
    if summary.in_front is None or len(attacks) < 2:
        return ""
    if {found[0] for point in points if (found := summary.strongest(point, "auc"))} == {summary.in_front}:
        return f"; none of the {len(attacks)} attacks has a higher one"
    return f"; the highest of {len(attacks)} attacks is {span(points, _highest(summary), 2)}"


def _above_chance(comparisons: Comparisons, points: Sequence[Point]) -> str:
    """On how many models some attack tells members from decoys, corrected for the number of all tests."""
    guessing = comparisons.guessing
    judged = [bool(guessing.above(point)) for point in points if guessing.tested(point)]
    if not judged:
        return "not tested"
    if len(points) == 1:
        return "above guessing" if judged[0] else "not shown to be above guessing"
    if not any(judged):
        return "nowhere shown to be above guessing"
    return f"above guessing at {_share(sum(judged), len(points))}"


def _against_noise(summary: Summary, fids: dict[Point, Value]) -> str:
    """At how many points a FID is not shown to be better than that of noise."""
    lost = sum(summary.against_noise(point) in (0, 1) for point in fids)
    where = "" if len(fids) == 1 else f" at {_share(lost, len(fids))}"
    return f"not shown to be better than noise{where}" if lost else ""


def _share(count: int, of: int) -> str:
    return f"all {of}" if count == of else f"{count} of {of}"


def _leading(summary: Summary) -> Read:
    """Reads the AUC that stands in front."""

    def read(point: Point) -> Value | None:
        found = summary.leading(point)
        return found[1] if found is not None else None

    return read


def _highest(summary: Summary) -> Read:
    """Reads the highest AUC of the attacks."""

    def read(point: Point) -> Value | None:
        found = summary.strongest(point, "auc")
        return found[1] if found is not None else None

    return read
