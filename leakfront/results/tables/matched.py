"""Leakage at equal quality: every defense's curve over its strengths, read at the same FIDs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from leakfront.results.run.point import Point
from leakfront.results.run.summary import EXTRACTION
from leakfront.results.run.value import Value
from leakfront.results.tables.table import Column, Table, number

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

FACTORS = (1.5, 2.0, 4.0)  # times the FID of the undefended model; fixed before any run
Leak = Literal["extracted", "auc"]


@dataclass(frozen=True)
class Matched:
    """Leakage at each FID.

    attack: the one whose AUC is compared, see `Summary.leading`. fid: of the undefended model. values: by defense,
    factor and measure; None where a defense's strengths do not enclose the FID.
    """

    attack: str
    fid: float
    values: dict[tuple[str, float, Leak], Value | None]

    @property
    def defenses(self) -> list[str]:
        """The defenses of several strengths."""
        return list(dict.fromkeys(defense for defense, _, _ in self.values))


def at_equal_fid(run: RunData) -> Matched | None:
    """For each defense of several strengths: images extracted and the AUC of one attack at each FID.

    None if there is not a single number.
    """
    from leakfront.results.statistics.matched import matched

    summary = run.summary
    base, leading = summary.fid(summary.undefended), summary.leading(summary.undefended)
    lines = {d: [p for p in summary.points if p.defense == d and summary.splits(p)] for d in summary.defenses}
    lines = {defense: points for defense, points in lines.items() if len(points) > 1}
    if base is None or not base.known or not base.value > 0 or leading is None or not lines:
        return None
    attack, fid = leading[0], base.value
    rows: dict[Leak, tuple[str, str, float | None, float | None]] = {  # source, metric, level, ceiling
        "extracted": (EXTRACTION, "extracted_at_fdr", summary.rate, None),
        "auc": (attack, "auc", None, 1.0),
    }

    def read(points: list[Point], leak: Leak, factor: float) -> Value | None:
        source, metric, level, ceiling = rows[leak]
        splits = sorted({split for point in points for split in summary.splits(point)})

        def curves(of: str, called: str, at: float | None, part: str) -> list[np.ndarray]:
            found = [[summary.value(p, of, called, split, at) for p in points] for split in splits]
            return [np.array([getattr(v, part) if v else np.nan for v in line]) for line in found]

        fids = curves("fid", summary.fid_metric, None, "value")
        values, lows, highs = (curves(source, metric, level, part) for part in ("value", "low", "high"))
        estimate = matched(
            fids, values, lows, highs, factor * fid, 0, ceiling, shared_coins=summary.shares_coins(source)
        )
        value = Value(estimate.value, estimate.low, estimate.high, len(splits), estimate.method)
        return value if value.known else None

    found = {(d, f, leak): read(points, leak, f) for d, points in lines.items() for f in FACTORS for leak in rows}
    return Matched(attack, fid, found) if any(value is not None for value in found.values()) else None


def matched_table(run: RunData) -> Table | None:
    """Leakage at equal quality as a table; None if there is not a single number."""
    found = at_equal_fid(run)
    if found is None:
        return None
    columns = [Column("defense", "Defense", tuple(found.defenses))]
    titles: dict[Leak, tuple[str, int | None]] = {"extracted": ("Extracted", None), "auc": (f"AUC {found.attack}", 3)}
    for factor in FACTORS:
        for leak, (title, decimals) in titles.items():
            entries = tuple(found.values[defense, factor, leak] for defense in found.defenses)
            title = f"{title} at FID {number(factor * found.fid)}"
            columns.append(Column(f"{leak}_at_{factor:g}", title, entries, decimals))
    times = ", ".join(f"{factor:g}" for factor in FACTORS)
    return Table(
        tuple(columns),
        (
            f"Leakage at {times} times the FID of the undefended model ({number(found.fid)}). It is read from each "
            "defense's own curve over its strengths, by linear interpolation between its points on a logarithmic FID "
            "axis. A defense has no number at a FID that its strengths do not enclose in at least two splits; nothing "
            "is extrapolated.",
            f"Means over splits with 95% intervals. {found.attack} {run.summary.why_leading}.",
            *run.differences,
        ),
    )
