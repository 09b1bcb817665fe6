"""What the numbers of a run rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from leakfront.results.run.summary import Summary, is_given

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData


def conditions(run: RunData) -> str:
    """What every number of the run rests on, in one sentence; and what several runs do not share, in another."""
    summary, infos = Summary(run), [source.info for source in run.sources]
    data = [info.get("dataset", {}) for info in infos]
    counts = sorted({len(summary.splits(point)) for point in summary.points} or {0})
    trained = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    elsewhere = len(summary.points) == 1 and all("given_model" in info for info in infos)
    quality = (
        f"FID on {summary.features or stated(infos, 'features', 'unnamed')} features against "
        f"{stated(data, 'reference')} real images outside the pool"
    )
    parts = [
        *_membership(run, data),
        "one given model"
        if elsewhere
        else f"{trained} split{'s' if trained != '1' else ''} (one model each) per defense and strength",
        f"{stated(infos, 'samples_per_model')} samples from each model",
        quality if any(one.get("reference", "?") for one in data) else "no FID, for want of images outside the pool",
        f"attack suite {stated(infos, 'suite')}",
    ]
    return " ".join(["; ".join(parts) + ".", *run.differences])


def _membership(run: RunData, data: Sequence[dict[str, Any]]) -> list[str]:
    """The pool, and how its members came to be: by coins, or as they were given."""
    flipped, given = (
        [one for one, source in zip(data, run.sources, strict=True) if is_given(source) is kind]
        for kind in (False, True)
    )
    sentences = []
    if flipped:
        sentences.append(
            f"Pool of {stated(flipped, 'pool')} {stated(flipped, 'name', '')} images, each a member with probability "
            f"{stated(flipped, 'coin')}"
        )
    if given:
        members = stated(given, "members")
        sentences.append(f"Pool of {stated(given, 'pool')} images, {members} of them members, as given")
    return sentences


def stated(infos: Sequence[dict[str, Any]], key: str, unknown: str = "?") -> str:
    """What run.json says, or what those of several runs say: "120 or 150"."""
    return " or ".join(dict.fromkeys(str(info.get(key, unknown)) for info in infos))
