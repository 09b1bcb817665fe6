"""The conditions under which every number of a run was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leakfront.results.run.controls import in_short

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData


def conditions(run: RunData) -> str:
    """The conditions in one sentence, after warnings of controls of known membership; for several runs that differ, a
    further sentence on the differences."""
    summary, infos = run.summary, [source.info for source in run.sources]
    data = [info.get("dataset", {}) for info in infos]
    counts = sorted({len(summary.splits(point)) for point in summary.points} or {0})
    splits = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    quality = (
        f"{quality_metric(run)} on {summary.features or stated(infos, 'features', 'unnamed')} features against "
        f"{stated(data, 'reference')} real images outside the pool"
    )
    parts = [
        *_pools(run),
        "generated images without their model"
        if run.external_model is not None and "images_alone" in run.external_model
        else "one external model"
        if run.external_model is not None and len(summary.points) == 1
        else f"{splits} split{'s' if splits != '1' else ''} (one model each) per defense and strength",
        f"{stated(infos, 'samples_per_model')} samples from each model",
        quality if any(one.get("reference", "?") for one in data) else "no FID: there are no images outside the pool",
        f"attack suite {stated(infos, 'suite')}",
    ]
    return " ".join([*in_short(run), "; ".join(parts) + ".", *run.differences])


def quality_metric(run: RunData) -> str:
    """The name of the metric of quality that stands in front: FID, or KID where there is none."""
    summary = run.summary
    return "KID" if not any(map(summary.fid, summary.points)) and any(map(summary.kid, summary.points)) else "FID"


def _pools(run: RunData) -> list[str]:
    """The pool of runs that drew their members by coins, and that of runs whose members were known."""
    drawn, known = (
        [source.info.get("dataset", {}) for source in run.sources if source.known_membership is kind]
        for kind in (False, True)
    )
    sentences = []
    if drawn:
        sentences.append(
            f"Pool of {stated(drawn, 'pool')} {stated(drawn, 'name', '')} images, each a member with probability "
            f"{stated(drawn, 'coin')}"
        )
    if known:
        sentences.append(f"Pool of {stated(known, 'pool')} images, {stated(known, 'members')} of them known members")
    counts = [one for one in (source.info.get("dataset", {}) for source in run.sources) if one.get("unit") == "subject"]
    if counts:
        sentences.append(
            f"every count is of subjects, each with all of its images: {stated(counts, 'subjects')} subjects with at "
            f"most {stated(counts, 'images_per_subject')} images"
        )
    return sentences


def stated(infos: Sequence[dict[str, Any]], key: str, unknown: str = "?") -> str:
    """An entry of run.json, or those of several runs: "120 or 150"."""
    return " or ".join(dict.fromkeys(str(info.get(key, unknown)) for info in infos))
