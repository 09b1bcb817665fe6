"""The risks of anonymization by their names in law, each by an attack that measures it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.run.summary import EXTRACTION
from leakfront.results.statistics.risk import residual_risk
from leakfront.results.tables.table import number
from leakfront.results.verdict.extremes import highest, worst

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData
    from leakfront.results.run.point import Point

_FPR = 0.01
_RULES = {"adaptive": "the adaptive rule", "distance": "the distance rule", "ratio": "the ratio rule"}


def risks(run: RunData, point: Point) -> list[tuple[str, str, str]]:
    """Singling out, linkability and inference (WP29 Opinion 05/2014), each by what measures it."""
    summary, found = run.summary, []
    for rule, name in _RULES.items():
        members = _summed(run, point, EXTRACTION, f"members_{rule}")
        decoys = _summed(run, point, EXTRACTION, f"decoys_{rule}")
        if members and decoys:
            found.append(("singling out", f"extraction by {name}", _risk(*members, *decoys)))
    tpr = highest(run, point, "tpr_at_fpr", _FPR)
    if tpr is not None:
        found.append(("linkability", f"membership by {tpr[0]} at 1% false positives", _of_rates(tpr[1].value, _FPR)))
    for attack in summary.attacks:
        levels = summary.levels(point, attack, "set_detected_members")
        if levels:
            size = levels[-1]
            rates = [summary.value(point, attack, f"set_detected_{kind}", level=size) for kind in ("members", "decoys")]
            if all(rate is not None and rate.known for rate in rates):
                name = f"sets of {size:.0f} images by {attack}"
                found.append(("linkability", name, _of_rates(*(rate.value for rate in rates if rate is not None))))
    painted = [a for a in summary.attacks if summary.facts.get(a, {}).get("attack", a) == "inpainting"]
    for attack in painted:
        value = worst(run, point, attack, "tpr_at_fpr", _FPR)
        if value is not None:
            found.append(("inference", f"hidden halves restored by {attack}, at 1% false positives",
                          _of_rates(value.value, _FPR)))  # fmt: skip
    if not painted:
        found.append(("inference", "inpainting", "not tried"))
    return found


def _summed(run: RunData, point: Point, source: str, metric: str) -> tuple[int, int] | None:
    """Matched and all, summed over splits."""
    values = list(run.summary.per_split(point, source, metric).values())
    return (round(sum(v.value for v in values)), sum(v.n for v in values)) if values else None


def _risk(members: int, n_members: int, decoys: int, n_decoys: int) -> str:
    value, low, high, _ = residual_risk(members, n_members, decoys, n_decoys)
    counts = f"{members:,} of {n_members:,} members, {decoys:,} of {n_decoys:,} decoys"
    return f"{number(value, 3)} [{number(low, 3)}, {number(high, 3)}] ({counts})"


def _of_rates(members: float, decoys: float) -> str:
    risk = number((members - decoys) / (1 - decoys), 3) if decoys < 1 else "none"
    return f"{risk} ({100 * members:.1f}% of members, {100 * decoys:.1f}% of decoys)"
