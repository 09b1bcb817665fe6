"""The release page, and the same as a section of a model card, with its numbers for machines."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from leakfront.results.page import assets
from leakfront.results.run.controls import warnings
from leakfront.results.run.plausibility import doubts
from leakfront.results.run.state import UNFINISHED

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData
    from leakfront.results.verdict.release import Release

PAGE, CARD, NUMBERS = "release.html", "model_card.md", "eval_results.yaml"
READING = (
    "A pass says that the attacks that were tried stayed below the limits. It does not say that nothing leaks.",
    "Members are images that the model could train on; decoys are images of the same kind that it never saw. What "
    "an attack finds among decoys is chance. Brackets are 95% intervals.",
    "Singling out, linkability and inference are the names of the Article 29 Working Party (Opinion 05/2014), which "
    "the EDPB takes up for models (Opinion 28/2024). Which measurement stands for which is this project's choice. "
    "The value is the share of members that is found beyond chance.",
)


def release_page(run: RunData, releases: Sequence[Release]) -> str:
    """The HTML of the page: what was tried, what leaks, which images and what was not tried come first."""
    return assets.render(
        PAGE,
        title=f"Release: {run.info.get('title') or run.info.get('name', '')}",
        private=not run.may_be_shared,
        warnings=_warnings(run),
        releases=releases,
        reading=READING,
    )


def model_card(run: RunData, releases: Sequence[Release]) -> str:
    """The section as Markdown."""
    lines = ["## Privacy of the training images", ""]
    lines += [f"**{_plain(text)}**\n" for text in _warnings(run)]
    for release in releases:
        lines += [f"### {_plain(release.label)}", ""] if len(releases) > 1 else []
        lines += [f"**Verdict: {release.outcome}** (by the rules below).", ""]
        for title, sentences in (
            ("What was tried", release.tried), ("What leaks", release.leaks), ("Which images", release.which),
            ("What was not tried", release.not_tried),
            ("Rules", [f"{outcome}: {text}" for outcome, text in release.rules]),
            ("Facts", [f"{key}: {value}" for key, value in release.facts]),
        ):  # fmt: skip
            lines += [f"**{title}**", "", *(f"* {_plain(text)}" for text in sentences), ""]
        lines += ["| risk | measured by | share of members beyond chance |", "|---|---|---|"]
        lines += [f"| {' | '.join(map(_plain, risk))} |" for risk in release.risks]
        lines.append("")
    return "\n".join([*lines, *(f"* {text}" for text in READING), ""])


def numbers_for_machines(run: RunData, releases: Sequence[Release]) -> str:
    """`eval_results.yaml`, as the Hugging Face Hub reads it from `.eval_results/`. The data set's id is the run's."""
    data = str(run.info.get("dataset", {}).get("name", "")).partition(":")[0] or "data"
    lines = ["# The data set's id is that of the run; replace it if the data are on the Hub."]
    for release in releases:
        for name, value, note in release.numbers:
            about = f"{release.label}: {note}" if len(releases) > 1 else note
            lines += [
                "- dataset:", f"    id: {json.dumps(f'leakfront/{data}')}", f"    task_id: {json.dumps(name)}",
                f"  value: {value:.6g}", f"  notes: {json.dumps(about)}",
            ]  # fmt: skip
    return "\n".join([*lines, ""]) if len(lines) > 1 else "[]\n"


def _warnings(run: RunData) -> list[str]:
    unfinished = [] if run.finished else [UNFINISHED]
    return [*unfinished, *(f"{name}: {text}" for name, text in doubts(run)), *warnings(run)]


def _plain(text: str) -> str:
    """A text without the marks of Markdown and HTML."""
    for mark in "\\`*_[]<>|#":
        text = text.replace(mark, f"\\{mark}")
    return text
