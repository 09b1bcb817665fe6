"""Hostile folders and archives of images: each file is read, refused by name, or skipped and counted."""

from __future__ import annotations

import tempfile
from pathlib import Path

from stress.counts import Counts
from stress.hypotheses import failures

FOLDERS = 300


def run(seed: int, budget: float = 1.0) -> Counts:
    """Plan a run on each kind of file and archive, then on mixtures, within 20 s of CPU time and 1 GiB of memory."""
    from tests.containment import warm_up
    from tests.hostile_archives import ARCHIVES, archive_complaint
    from tests.hostile_images import (
        CONTENTS,
        SPECIAL,
        File,
        Folder,
        hostile_folders,
        write_good,
    )

    warm_up()
    mixtures = max(1, round(FOLDERS * budget))
    alone = [Folder((File(b"a", kind),), b"a", skip) for kind in (*CONTENTS, *SPECIAL) for skip in (False, True)]
    alone = alone[:: max(1, round(1 / budget))]
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_good(place / "good")
        wrong = [f"{said} | {folder!r}" for folder in alone if (said := folder.complaint(place))]
        wrong += [f"{said} | archive {kind!r}" for kind in ARCHIVES if (said := archive_complaint(kind, place))]
        wrong += failures(hostile_folders(heavy=True), lambda folder: folder.complaint(place), mixtures, seed)
    return Counts({"folders of images": len(alone) + mixtures, "archives": len(ARCHIVES)}, wrong)
