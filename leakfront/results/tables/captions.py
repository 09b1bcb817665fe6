"""What captions give away: the pair's own image, any image of the pool, or only one image again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.run.copies import ATTACK
from leakfront.results.run.rows import WITH_WEIGHTS
from leakfront.results.tables.table import NOTHING, Column, Table

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData
    from leakfront.results.run.point import Point
    from leakfront.results.run.value import Value

# metric and heading
_COLUMNS = {
    "members_extracted": "Own image: members",
    "decoys_extracted": "Own image: decoys",
    "precision_extracted": "Own image: precision",
    "members_any_prompt": "By any caption: members",
    "decoys_any_prompt": "By any caption: decoys",
    "members_flagged": "Flagged: members",
    "decoys_flagged": "Flagged: decoys",
    "cliques_showing_member": "Cliques show a member",
    "cliques_showing_decoy": "a decoy",
    "cliques_showing_nothing": "nothing of the pool",
}
_READING = (
    "Own image: pairs whose own caption gives their own image; of decoys, chance alone. By any caption: images that "
    "some caption gives, their own or another; not to be added to the first. Flagged: captions that give one image "
    "again and again, whatever it shows; a decoy's caption can give the image of a memorized one that shares words "
    "with it.",
    f"Means over splits with 95% intervals; {NOTHING}: no number.",
)
_PAST = "With weights: past the defenses that guard the sampler."


def captions_table(run: RunData) -> Table | None:
    """Every defense at every strength, by attack if there are several; None if no attack asked by captions."""
    summary = run.summary
    labels = [label for label in summary.attacks if summary.facts.get(label, {}).get("attack") == ATTACK]
    lines: list[tuple[Point, str, str]] = [
        (point, label, past)
        for label in labels
        for point in summary.points
        for past in ("", WITH_WEIGHTS)
        if summary.value(point, label, f"members_extracted{past}") is not None
    ]
    if not lines:
        return None
    at_fdr = f"Own image at {summary.fdr} FDR"
    return Table((
        Column("defense", "Defense", tuple(point.defense for point, _, _ in lines)),
        Column("params", "Strength", tuple(point.params for point, _, _ in lines)),
        Column("attack", "Attack" if len(labels) > 1 else "", tuple(label for _, label, _ in lines)),
        Column("access", "Access", tuple("with weights" if past else "as served" for _, _, past in lines)),
        Column("extracted_at_fdr", at_fdr, tuple(
            summary.value(p, label, f"extracted_at_fdr{past}", level=summary.rate) for p, label, past in lines)),
        *(Column(metric, title, tuple(summary.value(point, label, f"{metric}{past}") for point, label, past in lines))
          for metric, title in _COLUMNS.items()),
    ), (*_READING, *([_PAST] if any(past for *_, past in lines) else []), *_reach(run, lines),
        *run.differences))  # fmt: skip


def _reach(run: RunData, lines: list[tuple[Point, str, str]]) -> list[str]:
    """Whether planted pairs can be enough for a count at the false-discovery rate, from the rows that say so."""
    point, label, _ = lines[0]
    asked: Value | None = run.summary.value(point, label, "planted_members_asked")
    if asked is None or not asked.known:
        return []
    least = round(1 / run.summary.rate)
    enough = "can" if asked.value >= least else "cannot"
    return [
        f"A count at {run.summary.fdr} FDR with fair coins is {least} or more, or 0: with {asked.value:.3g} planted "
        f"members asked for, a mean over splits, planted pairs alone {enough} reach it."
    ]
