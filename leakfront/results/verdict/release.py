"""What a decision on the release of one model rests on, in sentences: the release page and the model card show it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from leakfront.results.run.claims import claim
from leakfront.results.run.conditions import conditions
from leakfront.results.run.per_image import per_image
from leakfront.results.run.saturation import strongest_is_saturated
from leakfront.results.run.summary import EXTRACTION
from leakfront.results.tables.table import number
from leakfront.results.verdict.extremes import highest, worst
from leakfront.results.verdict.risks import risks
from leakfront.results.verdict.sentences import WORDS, sentence
from leakfront.results.verdict.untried import ACCESS, untried

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData
    from leakfront.results.run.point import Point
    from leakfront.results.run.value import Value
    from leakfront.results.verdict.gate import Gate
    from leakfront.results.verdict.judge import ModelVerdict, Verdict

_NAMED = 10  # files in a sentence
_FPR = 0.01


@dataclass(frozen=True)
class Release:
    """label, outcome: the model and its verdict. tried, leaks, which, not_tried: what stands first, in sentences.
    rules: the rules of the gate, each with its outcome. risks: by the regulators' names, each with how it was measured
    and its value. facts: names and texts. numbers: what a machine reads: name, value, and a note."""

    label: str
    outcome: str
    tried: Sequence[str]
    leaks: Sequence[str]
    which: Sequence[str]
    not_tried: Sequence[str]
    rules: Sequence[tuple[str, str]]
    risks: Sequence[tuple[str, str, str]]
    facts: Sequence[tuple[str, str]]
    numbers: Sequence[tuple[str, float, str]]


def releases(run: RunData, verdict: Verdict) -> list[Release]:
    """One for each model that was judged."""
    points = {point.label: point for point in run.summary.points}
    return [_release(run, points[model.label], model, verdict.gate) for model in verdict.models]


def _release(run: RunData, point: Point, model: ModelVerdict, gate: Gate) -> Release:
    rules = [*((WORDS[one.outcome], sentence(one)) for one in model.judged)]
    return Release(
        label=model.label,
        outcome=model.outcome,
        tried=_tried(run, point),
        leaks=_leaks(run, point),
        which=_which(run, point),
        not_tried=untried(run, gate),
        rules=[*(("no pass", text) for text in model.spoiled), *rules],
        risks=risks(run, point),
        facts=_facts(run, point, gate),
        numbers=_numbers(run, point),
    )


def _attacks(run: RunData, point: Point) -> dict[str, list[str]]:
    """The attacks that were made on a model, by their access, without controls."""
    summary, found = run.summary, {}
    made = {attack for split in summary.splits(point) for attack in summary.attacks_on(point, split)}
    for access in ACCESS:
        named = [a for a in summary.attacks if a in made and summary.facts.get(a, {}).get("access") == access]
        if named:
            found[access] = named
    return found


def _tried(run: RunData, point: Point) -> list[str]:
    by_access = _attacks(run, point)
    told = [f"{len(attacks)} on {ACCESS[access]} ({', '.join(attacks)})" for access, attacks in by_access.items()]
    count = sum(map(len, by_access.values()))
    samples = run.info.get("samples_per_model", "?")
    return [
        f"{count} attacks: {'; '.join(told) or 'none'}.",
        f"{samples} generated images were searched for members.",
        conditions(run),
    ]


def unit(run: RunData) -> tuple[str, str]:
    """What is a member: one and several, "image" and "images" unless the run says otherwise."""
    one = str(run.info.get("dataset", {}).get("unit", "image"))
    return one, f"{one}s"


def _leaks(run: RunData, point: Point) -> list[str]:
    _, units = unit(run)
    told = []
    extracted = worst(run, point, EXTRACTION, "extracted_at_fdr", run.summary.rate)
    if extracted is not None:
        upper = f"; up to {math.floor(extracted.high):,} may be" if math.isfinite(extracted.high) else ""
        told.append(
            f"Extraction: generated images give {extracted.value:,.0f} of {extracted.n:,} member {units} away "
            f"({run.summary.fdr} of those reported may be false){upper}."
        )
    before = worst(run, point, EXTRACTION, "members_before_decoys")
    if before is not None:
        told.append(
            f"{before.value:,.0f} of {before.n:,} member {units} are matched more closely than any decoy; by chance, "
            "five or more are in 1 of 32 models (with a fair coin)."
        )
    tpr = highest(run, point, "tpr_at_fpr", _FPR)
    if tpr is not None:
        attack, value = tpr
        told.append(
            f"Membership: the attack {attack} finds {100 * value.value:.1f}% of the members"
            f"{_interval(value, 100, '%')} when it wrongly names 1% of the others. Of 1,000 patients whose images were "
            f"used for training it names about {round(1000 * value.value):,}, and of 1,000 whose images were not, 10. "
            "An attack that guesses names 10 of both."
        )
    auc = highest(run, point, "auc")
    if auc is not None:
        attack, value = auc
        told.append(
            f"Of a member and a decoy, the attack {attack} tells which is which in {100 * value.value:.0f} of 100 pairs"
            f"{_interval(value, 100, '')}; guessing does in 50. It is the highest of all attacks, chosen afterwards."
        )
    return told or ["Nothing was measured."]


def _interval(value: Value, scale: float, mark: str) -> str:
    if not value.has_interval:
        return ""
    return f" [{number(scale * value.low, 1)}{mark}, {number(scale * value.high, 1)}{mark}]"


def _which(run: RunData, point: Point) -> list[str]:
    cell = next((cell for cell in run.cells if cell.point == point), None)
    if cell is None or EXTRACTION not in run.summary.attacks_on(point, cell.split):
        return ["No single image is named, since extraction was not measured."]
    lines = per_image(run, cell)
    found = lines[lines["q_value"] <= run.summary.rate]
    where = f" of split {cell.split}" if len(run.summary.splits(point)) > 1 else ""
    if not len(found):
        return [f"No image{where} is reported at {run.summary.fdr} FDR. The closest matches are on the page of images."]
    names = [file or f"image {image}" for file, image in zip(found["file"], found["image"], strict=True)]
    more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"{len(names)} images{where} are reported at {run.summary.fdr} FDR: {', '.join(names[:_NAMED])}{more}."]


def _facts(run: RunData, point: Point, gate: Gate) -> list[tuple[str, str]]:
    summary, data = run.summary, run.info.get("dataset", {})
    one, _ = unit(run)
    calls = summary.value(point, "suite", "model_calls_per_image")
    near, dropped = run.info.get("near_copies"), data.get("duplicates_dropped")
    held = claim(run, point)
    audited = summary.strongest(point, "epsilon_lower_bound")
    claimed = "unknown, since the model was trained elsewhere" if run.external_model is not None else "none is claimed"
    if held:
        claimed = f"ε = {number(float(held['epsilon']))}, δ = {float(held['delta']):g}, per {held.get('unit', one)}"
        if held.get("group_epsilon") is not None:
            claimed += f"; ε = {number(float(held['group_epsilon']))} for {held['group']} copies together"
    shown = "not audited"
    if audited is not None:
        ceiling = ", at its ceiling: more may leak" if strongest_is_saturated(summary, point) else ""
        shown = f"at least {number(audited[1].value, 2)} at 95% confidence ({audited[0]}{ceiling})"
    attackers = "those with the weights, and those with generated images"
    facts = [
        ("attackers considered", attackers if gate.attacker == "weights" else "those with generated images alone"),
        ("generated images", f"{run.info.get('samples_per_model', '?')} from each model"),
        ("model calls", f"{calls.value:,.0f} for each pool image, for all attacks together" if calls else "unknown"),
        ("unit of privacy", f"one {one}" + (" with all images of it" if one != "image" else "")),
        ("natural duplicates", _duplicates(near, dropped, data.get("pool"))),
        ("epsilon claimed", claimed),
        ("epsilon audited", shown),
    ]
    return facts


def _duplicates(near: Any, dropped: Any, pool: Any) -> str:
    count = (
        f"{near:,} of {pool} pool images have a near copy among the pool" if isinstance(near, int) else "not counted"
    )
    return f"{count}; {dropped} exact duplicates were left out" if isinstance(dropped, int) else count


def _numbers(run: RunData, point: Point) -> list[tuple[str, float, str]]:
    """What a machine reads of a model card."""
    found = []
    extracted = worst(run, point, EXTRACTION, "extracted_at_fdr", run.summary.rate)
    if extracted is not None:
        ends = f"95% interval {extracted.low:.1f} to {extracted.high:.1f}"
        note = f"of {extracted.n} members at {run.summary.fdr} FDR, {ends}"
        found.append(("extracted_members", extracted.value, note))
    for name, metric, level in (
        ("membership_tpr_at_1_percent_fpr", "tpr_at_fpr", _FPR),
        ("membership_auc", "auc", None),
    ):
        best = highest(run, point, metric, level)
        if best is not None:
            ends = f", 95% interval {best[1].low:.3f} to {best[1].high:.3f}" if best[1].has_interval else ""
            found.append((name, best[1].value, f"highest of all attacks: {best[0]}{ends}"))
    return found
