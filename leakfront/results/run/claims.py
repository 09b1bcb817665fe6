"""What the defenses of a run claim: their guarantees, and the attackers whom they reach."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from leakfront.results.run.point import Point

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

AS_SERVED = "as served only"
_SHORT = {"samples, loss, gradients": "all access", "samples as served; nothing with the weights": AS_SERVED}


def claim(run: RunData, point: Point) -> dict[str, Any] | None:
    """The differential-privacy guarantee of a defense: epsilon, delta, accountant, unit; None without one."""
    found: dict[str, Any] | None = run.info.get("guarantees", {}).get(point.label)
    return found or None


def terms(run: RunData) -> list[str]:
    """One sentence on the unit and the accountant of the guarantees, and one on the delta of the audit."""
    claims = [found for found in run.info.get("guarantees", {}).values() if found]
    units = [f"per {c.get('unit', 'training image')}, {_accountant(c)} accountant" for c in claims]
    sentences = [f"Guarantees are {'; '.join(dict.fromkeys(units))}."] if units else []
    delta = audit_delta(run)
    audited = delta is not None and not run.known_membership
    return [*sentences, f"Epsilon is audited at δ = {delta:g}."] if audited else sentences


def _accountant(guarantee: dict[str, Any]) -> str:
    """The name of the accountant as papers write it: "PRV" or "RDP"."""
    return str(guarantee["accountant"]).upper() if "accountant" in guarantee else "unnamed"


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
