"""The sheet of copies: captions that gave one image again and again, for a person to mark."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.results.page import assets
from leakfront.results.page.images import picture
from leakfront.results.run.copies import captions_of, copies_of

if TYPE_CHECKING:
    from leakfront.results.run.data import RunData

PAGE = "copies/index.html"
TEMPLATE, SCRIPT = "copies.html", "copies.js"
_MOST = 400


def copies_page(run: RunData) -> str | None:
    """The HTML of the sheet, the tightest cliques first; None if no caption was flagged.

    It does not say which pairs are members, so that marks are made without knowing.
    """
    copies = copies_of(run)
    if not copies:
        return None
    captions = {cell.name: captions_of(run, cell) for cell in {copy.cell for copy in copies}}
    lines = [
        {
            "key": copy.key,
            "caption": captions[copy.cell.name][copy.pair],
            "where": f"{copy.cell.label}, split {copy.cell.split}; cliques from a distance of {copy.distance:.3g} on",
            "own": picture(run.pool_of(copy.cell)["images"][copy.pair]),
            "generated": [picture(image) for image in copy.images],
        }
        for copy in copies[:_MOST]
    ]
    return assets.render(
        TEMPLATE, SCRIPT,
        title=f"Copies by caption: {run.info.get('title') or run.info.get('name', '')}",
        lines=lines,
        cut=f"These are the tightest {len(lines)} of {len(copies)}." if len(lines) < len(copies) else "",
    )  # fmt: skip
