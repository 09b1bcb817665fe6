"""Leakage at equal quality: every defense's curve, read off at the same FIDs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from results.points import EXTRACTION, Point, Summary, Value
from results.table import Column, Table, number

if TYPE_CHECKING:
    from results.run_data import RunData

FACTORS = (1.5, 2.0, 4.0)  # times the FID of the undefended model, fixed beforehand


def matched_table(run: RunData) -> Table | None:
    """For each defense of several strengths: images extracted and the AUC of one attack at each FID; None without any.

    The attack is the one with the highest AUC on the undefended model.
    """
    from results.statistics.matched import matched

    summary = Summary(run)
    base, strongest = summary.fid(summary.undefended), summary.strongest(summary.undefended, "auc")
    lines = {d: [p for p in summary.points if p.defense == d and summary.splits(p)] for d in summary.defenses}
    lines = {defense: points for defense, points in lines.items() if len(points) > 1}
    if base is None or not base.known or not base.value > 0 or strongest is None or not lines:
        return None
    targets = [factor * base.value for factor in FACTORS]
    attack = strongest[0]

    def read(points: list[Point], source: str, metric: str, target: float, ceiling: float | None) -> Value | None:
        splits = sorted({split for point in points for split in summary.splits(point)})

        def curves(of: str, called: str, part: str) -> list[np.ndarray]:
            found = [[summary.value(p, of, called, split) for p in points] for split in splits]
            return [np.array([getattr(v, part) if v else np.nan for v in line]) for line in found]

        fids = curves("fid", summary.fid_metric, "value")
        values, lows, highs = (curves(source, metric, part) for part in ("value", "low", "high"))
        estimate = matched(fids, values, lows, highs, target, 0, ceiling)
        value = Value(estimate.value, estimate.low, estimate.high, len(splits), estimate.method)
        return value if value.known else None

    count = f"extracted_at_fdr_{summary.rate}"
    columns = [Column("defense", "Defense", tuple(lines))]
    for factor, target in zip(FACTORS, targets, strict=True):
        for key, title, source, metric, ceiling, decimals in (
            ("extracted", "Extracted", EXTRACTION, count, None, None),
            ("auc", f"AUC {attack}", attack, "auc", 1.0, 3),
        ):
            entries = tuple(read(points, source, metric, target, ceiling) for points in lines.values())
            columns.append(Column(f"{key}_at_{factor:g}", f"{title} at FID {number(target)}", entries, decimals))
    if all(entry is None for column in columns[1:] for entry in column.entries):
        return None
    times = ", ".join(f"{factor:g}" for factor in FACTORS)
    return Table(
        tuple(columns),
        (
            "Read off each defense's own curve over its strengths, linear between its points on a logarithmic FID "
            f"axis, at {times} times the FID of the undefended model ({number(base.value)}). A defense has no number "
            "at a FID that its strengths do not enclose; nothing is extrapolated.",
            f"Means over splits with 95% intervals. {attack} has the highest AUC on the undefended model.",
            *run.differences,
        ),
    )
