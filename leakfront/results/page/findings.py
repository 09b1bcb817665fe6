"""What a run shows, in sentences with their numbers. A sentence says no more than the rows and their intervals do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from leakfront.results.page.cautions import cautions
from leakfront.results.page.comparisons import Comparisons
from leakfront.results.page.finding import Finding
from leakfront.results.page.headline import headline, terms
from leakfront.results.page.strengths import paragraph
from leakfront.results.page.whole_run import whole_run
from leakfront.results.run.controls import stated

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData


@dataclass(frozen=True)
class Findings:
    """All findings of a run.

    headline: at most five sentences, one for each family of defenses. terms: what their words mean. cautions: reasons
    not to trust numbers. whole_run: what concerns the run as a whole. strengths: one paragraph for each defense and
    strength. controls: what the controls of known membership found, whatever it is.
    """

    headline: tuple[Finding, ...]
    terms: str
    cautions: tuple[Finding, ...]
    whole_run: tuple[Finding, ...]
    strengths: tuple[Finding, ...]
    controls: tuple[str, ...] = ()


def findings(run: RunData) -> Findings:
    """Everything that the rows of a run show, in sentences."""
    summary = run.summary
    measured = [point for point in summary.points if summary.splits(point)]
    comparisons = Comparisons(summary, measured)
    return Findings(
        headline=tuple(headline(run, summary, comparisons, measured)),
        terms=terms(run, summary, comparisons, measured),
        cautions=tuple(cautions(run, summary, measured)),
        whole_run=tuple(whole_run(summary, comparisons, measured)),
        strengths=tuple(paragraph(run, summary, comparisons, point) for point in measured),
        controls=tuple(stated(run)),
    )
