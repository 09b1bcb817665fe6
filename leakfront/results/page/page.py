"""The report as one HTML file that needs nothing else: figures inside, no network, and a script only to sort tables."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from leakfront.results.page import assets
from leakfront.results.page.explanations import limits, reading
from leakfront.results.page.findings import Findings
from leakfront.results.page.layout import cell_class, of_numbers
from leakfront.results.run.conditions import conditions
from leakfront.results.run.made import facts_of_making, flat
from leakfront.results.run.plausibility import doubts, in_front
from leakfront.results.run.state import UNFINISHED
from leakfront.results.tables.table import Table, counted, number
from leakfront.results.verdict.sentences import headline, lines
from leakfront.results.verdict.untried import untried

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData
    from leakfront.results.verdict.judge import Verdict


_NAMED = 6  # attacks named in a sentence


@dataclass(frozen=True)
class Picture:
    """A figure of the report. wide: it spans both columns of a paper. shows_images: it shows images of a run."""

    name: str
    title: str
    caption: str
    svg: bytes
    wide: bool
    shows_images: bool

    @property
    def source(self) -> str:
        """The picture as a data URI: in an img element it can neither run a script nor reach the network."""
        return "data:image/svg+xml;base64," + base64.b64encode(self.svg).decode()


@dataclass(frozen=True)
class Contents:
    """Everything that is shown.

    tables: main, matched, quality, cost, suite and attacks; None for one that the run does not have. not_drawn: the
    title of each figure that is missing, and the reason. left_out: what a report that may be shared leaves out; None
    for any other report. verdict: None for several runs drawn together. more: other pages beside this one, with what
    they show.
    """

    findings: Findings
    tables: Mapping[str, Table | None]
    pictures: Sequence[Picture]
    not_drawn: Mapping[str, str]
    left_out: Sequence[str] | None = None
    verdict: Verdict | None = None
    more: Mapping[str, str] = field(default_factory=dict)


def page(run: RunData, contents: Contents) -> str:
    """The HTML of the report of a run, or of several drawn together."""
    return assets.render(
        assets.TEMPLATE,
        title=run.info.get("title") or run.info.get("name", "Report"),
        about=_about(run),
        unfinished=_unfinished(run),
        showing=[picture.title for picture in contents.pictures if picture.shows_images],
        left_out=contents.left_out,
        verdict=_shown(run, contents.verdict),
        findings=contents.findings,
        tables=contents.tables,
        cell_class=cell_class,
        of_numbers=of_numbers,
        pictures=contents.pictures,
        not_drawn=contents.not_drawn,
        notes=[f"{note[:1].upper()}{note[1:]}." for note in map(str, run.info.get("attack_notes", []))],
        more=contents.more,
        conditions=conditions(run),
        subject=run.summary.subject,
        several=len(run.summary.points) > 1,
        reading=reading(run),
        limits=limits(run),
        runs=[
            {"name": r.info.get("name", ""), "facts": _facts(r.info), "config": _toml(r.info.get("config", {}))}
            for r in run.sources
        ],
    )


def _shown(run: RunData, verdict: Verdict | None) -> dict[str, Any] | None:
    """The verdict in sentences."""
    if verdict is None:
        return None
    return {
        "outcome": verdict.outcome, "headline": headline(verdict), "lines": lines(verdict),
        "untried": untried(run, verdict.gate), "folded": len(verdict.models) > 1,
    }  # fmt: skip


def _unfinished(run: RunData) -> list[str]:
    """A sentence for each run that did not come to its end."""
    sources = run.sources
    return [
        UNFINISHED if len(sources) == 1 else f"{source.info.get('name', '')}: {UNFINISHED}"
        for source in sources
        if not source.finished
    ]


def _about(run: RunData) -> str:
    """What was run, in one paragraph."""
    summary = run.summary
    models = sum(len(summary.splits(point)) for point in summary.points)
    named = ", ".join(summary.attacks) if len(summary.attacks) <= _NAMED else f"{len(summary.attacks)} attacks"
    attacks = f"attacked with {named}" if summary.attacks else "not attacked"
    if run.external_model is not None and "images_alone" in run.external_model:
        count = run.external_model["images_alone"]
        return f"{count} generated images, without their model, were {attacks}. {conditions(run)}"
    if run.external_model is not None:
        which = "An external model, trained elsewhere, was" if models == 1 else f"{models} external models were"
        checked = "" if doubts(run) else "".join(f" {line[:1].upper()}{line[1:]}." for line in in_front(run))
        return f"{which} {attacks}. {conditions(run)}{checked}"
    return (
        f"{models} models were trained under {len(summary.defenses)} defenses, counting the undefended model as one, "
        f"at {len(summary.points)} strengths in all, and {attacks}. {conditions(run)}"
    )


def _facts(info: dict[str, Any]) -> list[tuple[str, str]]:
    """Where a run comes from, as names and values."""
    data = {{"reference": "reference images", "extractor": "images to train the feature extractor"}.get(key, key): value
            for key, value in info.get("dataset", {}).items()}  # fmt: skip
    facts = {
        "data": flat(data),
        "classes": ", ".join(f"{name} → {number}" for number, name in enumerate(info.get("classes", []))),
        "files": "; ".join(map(str, info.get("data_notes", []))),
        "model": flat({k: v for k, v in info.get("external_model", {}).items() if k != "plausibility"}),
        "seed": str(info.get("seed", "")),
        **facts_of_making(info),
        "plug-ins of other packages": flat(info.get("plugins", {})),
        "last session": " of ".join(counted(info.get(key), key) for key in ("workers", "threads")) + " each",
        "wall time": f"{number(float(info['wall_seconds']))} s" if info.get("wall_seconds") is not None else "",
        "diverged": ", ".join(info.get("diverged", [])),
        "failed": "; ".join(f"{cell}: {reason}" for cell, reason in dict(info.get("failed", {})).items()),
    }
    return [(key, value) for key, value in facts.items() if value]


def _toml(config: dict[str, Any]) -> str:
    """The settings in a form that can be run again. TOML has no null: settings that are not set are left out."""
    import tomli_w

    def without_null(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_null(v) for key, v in value.items() if v is not None}
        return [without_null(v) for v in value if v is not None] if isinstance(value, list) else value

    return tomli_w.dumps(without_null(config))
