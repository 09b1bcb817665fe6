"""A verdict in sentences, for the head of the report, the release page and the terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from leakfront.results.tables.table import number

if TYPE_CHECKING:
    from leakfront.results.verdict.judge import Judged, Outcome, Verdict

WORDS: dict[Outcome, str] = {
    "pass": "passes", "fail": "fails", "undecided": "undecided", "warning": "warning", "not measured": "not measured",
}  # fmt: skip
_ORDER: tuple[Outcome, ...] = ("fail", "undecided", "pass")


def headline(verdict: Verdict) -> str:
    """The verdict in one line."""
    if len(verdict.models) == 1:
        return f"Verdict: {verdict.outcome}"
    counts = [sum(model.outcome == outcome for model in verdict.models) for outcome in _ORDER]
    told = [f"{count} {word}" for count, word in zip(counts, ("fail", "undecided", "pass"), strict=True) if count]
    return f"Verdict on {len(verdict.models)} models: {', '.join(told) or 'none was measured'}"


def lines(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Outcome, subject and text of what is to be said: of one model each rule, of several each model."""
    if len(verdict.models) == 1:
        (model,) = verdict.models
        spoiled = [("undecided", "no pass", text) for text in model.spoiled]
        return [*spoiled, *((one.outcome, WORDS[one.outcome], sentence(one)) for one in model.judged)]
    told: list[tuple[str, str, str]] = []
    for model in verdict.models:
        deciding = [one for one in model.judged if one.outcome == model.outcome and not one.rule.warns]
        texts = [sentence(one) for one in deciding[:2]] if model.outcome != "pass" else []
        told.append((model.outcome, f"{model.label} {WORDS[model.outcome]}", " ".join([*texts, *model.spoiled])))
    return told


def sentence(judged: Judged) -> str:
    """What a rule found, against its limit; and what would decide it."""
    rule, value = judged.rule, judged.value
    in_words = not rule.name.startswith(rule.metric)  # else as rows spell it
    name = f"{rule.name[:1].upper()}{rule.name[1:]}" if in_words else rule.name
    limit = f"at most {_number(judged, rule.at_most)}" + (f" ({rule.why})" if rule.why else "")
    if not value.known:
        least = _fewest_decoys(judged)
        more = f"; it takes at least {least:,} decoys to measure it, and more to decide" if least else ""
        return f"{name}, {limit}: no number, since {judged.reason or 'there is none'}{more}."
    interval = f" [{_number(judged, value.low)}, {_number(judged, value.high)}]" if value.has_interval else ""
    where = ", ".join(filter(None, (judged.source, f"split {judged.split}" if judged.split else "")))
    count = f"{value.value * value.n:,.0f} of {value.n:,} {judged.members}, " if rule.share else ""
    found = f"{name}: {count}{_number(judged, value.value)}{interval} ({where}); {limit}."
    if judged.outcome != "undecided":
        return found
    if rule.halved:
        above = number(judged.fails_above)
        return f"{found} One of so many attacks and splits may be above it by chance: it fails above {above}."
    if judged.needed is None:
        return f"{found} The interval holds the limit, and no number of images decides it while the value stays."
    return (
        f"{found} The interval holds the limit. About {rounded(judged.needed):,} {judged.members}, with decoys in "
        "proportion, would decide it if the rest stays as it is."
    )


def _fewest_decoys(judged: Judged) -> int | None:
    """The number of decoys from which a rate of false positives can be measured; None for what is no such rate."""
    rule = judged.rule
    attainable = not judged.reason.startswith("not attainable")
    return None if attainable or not rule.level or rule.metric != "tpr_at_fpr" else math.ceil(1 / rule.level)


def rounded(count: int) -> int:
    """A count to two digits, upwards."""
    step = int(10 ** max(len(str(count)) - 2, 0))
    return -(-count // step) * step


def _number(judged: Judged, value: float) -> str:
    return f"{number(100 * value, 1)}%" if judged.rule.share or judged.rule.metric.startswith("tpr") else number(value)
