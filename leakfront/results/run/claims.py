"""What the defenses of a run claim: their guarantees, and the attackers whom they reach."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from leakfront.results.run.point import Point

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

AS_SERVED = "as served only"
# by where the draws of private models came from; "": runs of earlier versions
_SECRECY = {
    "operating system": (
        "Private models draw their batches and their noise from a secret of this run, which only the file "
        "privacy-secret.json in its folder holds. Their guarantees hold against those who do not have this file: leave "
        "it out of what you share."
    ),
    "privacy_seed": (
        "Private models draw their batches and their noise from a privacy_seed, so that the run can be repeated. Their "
        "guarantees hold only while this number stays secret; models whose seed is known have none."
    ),
    "": (
        "Private training drew its randomness from the seeds in this run's folder. Its guarantee holds against those "
        "who have the weights but not the seeds."
    ),
}
_BEFORE = (
    "Some private models may have drawn from another secret, which the installation that finished this run did not "
    "make or could not recognize: they were in its folder before. Whoever made that secret can repeat their draws, and "
    "against them these models have no guarantee. Private models that were trained since draw from a secret of that "
    "installation."
)
_SHORT = {"samples, loss, gradients": "all access", "samples as served; nothing with the weights": AS_SERVED}


def claim(run: RunData, point: Point) -> dict[str, Any] | None:
    """The differential-privacy guarantee of a defense: epsilon, delta, accountant, unit; None without one."""
    found: dict[str, Any] | None = run.info.get("guarantees", {}).get(point.label)
    return found or None


def terms(run: RunData) -> list[str]:
    """One sentence on the unit and the accountant of the guarantees, and one on the delta of the audit."""
    claims = [found for found in run.info.get("guarantees", {}).values() if found]
    units = [f"per {c.get('unit', 'training image')}, {_accountant(c)} accountant" for c in claims]
    sentences = [f"Guarantees are {'; '.join(dict.fromkeys(units))}.", *together(run)] if units else []
    delta = audit_delta(run)
    audited = delta is not None and not run.known_membership
    return [*sentences, f"Epsilon is audited at δ = {delta:g}."] if audited else sentences


def together(run: RunData) -> list[str]:
    """What holds of all private models of a run, if all of them are released."""
    sentences = []
    for source in run.sources:
        for found in source.info.get("composed_guarantees", ()):
            if found["models"] < 2:
                continue
            of = f" of {source.info.get('name', '')}" if len(run.sources) > 1 else ""
            group = f" (ε = {_number(found['group_epsilon'])} for {found['group']} copies)" if "group" in found else ""
            guarantee = f"ε = {_number(found['epsilon'])}{group}, δ = {found['delta']:g}"
            sentences.append(
                f"The {found['models']} private models{of} together, if all are released: {guarantee}, per "
                f"{found['unit']}, {_accountant(found)}."
            )
    return sentences


def _number(epsilon: float) -> str:
    return f"{epsilon:,.0f}" if 1000 <= epsilon < math.inf else f"{epsilon:.3g}"


def secrecy(run: RunData) -> list[str]:
    """Against whom the guarantees of a run's private models hold; nothing for a run without any."""
    private = [source.info for source in run.sources if any(source.info.get("guarantees", {}).values())]
    known = dict.fromkeys(info.get("private_draws", "") for info in private)
    before = [_BEFORE] if any(info.get("private_draws_before") for info in private) else []
    return [*(_SECRECY[origin] for origin in known), *before]


def _accountant(guarantee: dict[str, Any]) -> str:
    """The name of the accountant as papers write it: "PRV" or "RDP"."""
    name = str(guarantee.get("accountant", "unnamed"))
    return name.upper() if name in ("prv", "rdp") else name


def audit_delta(run: RunData) -> float | None:
    """The delta of the audited bound; a claim with a larger delta does not compare with it."""
    delta = run.info.get("config", {}).get("statistics", {}).get("audit_delta")
    return float(delta) if delta is not None else None


def covers(run: RunData, points: Iterable[Point]) -> str:
    """The attackers whom a defense reaches at some strengths: "all access", "as served only"; "–" if it is none."""
    stated = dict.fromkeys(str(run.info.get("covers", {}).get(point.label) or "") for point in points)
    text = "; ".join(filter(None, stated))
    for words, short in _SHORT.items():
        text = text.replace(words, short)
    return text
