"""One line for each image of the pool: what the attacks on a model say of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from leakfront.errors import InputError
from leakfront.labels import FORMULA
from leakfront.results.run.summary import EXTRACTION
from leakfront.results.statistics.counts import q_values

if TYPE_CHECKING:
    import pandas as pd

    from leakfront.results.run.data import Cell, RunData

FILE = "per_image.csv"
SCORE = "score_"  # begins the column of an attack's scores; the attack's label follows


def per_image(run: RunData, cell: Cell | None = None) -> pd.DataFrame:
    """What the attacks say of every pool image, the closest match first; for one model or, by default, all of the run.

    Columns: cell, defense, params, split: the model. image: the number of the image in the pool. file: its name below
    the folder of the data ("members/…" or "decoys/…" where membership is stated); empty for data without files.
    subject: whom it shows; only where several images show one. copies: how often a member is in the training set.
    member: whether the model could train on it.
    nearest_sample: the number of the generated image that matches it best; missing if it is among the nearest of none.
    l2: root mean square difference of the two, of pixels in [0, 1]. adaptive: the ratio of Carlini et al. 2023 (below 1
    counts as extracted). q_value: the smallest false-discovery rate at which the member is reported as extracted
    (`statistics.counts.q_values`), with subjects that of its subject; missing for decoys, and for subjects that are not
    compared. rank: by the score of extraction, members and decoys together, from 1; equal scores share a rank.
    above_all_decoys: by how many attacks, without controls, it scores above every decoy image. score_ATTACK: the score
    of each attack, higher for likelier members.

    Without the attack `extraction` these are missing: nearest_sample, l2, adaptive, q_value and rank.
    Raises `InputError` if the run's arrays cannot be read, or for several runs drawn together.
    """
    import pandas as pd

    if len(run.sources) > 1:
        raise InputError("lines for single images are made of one run, not of several drawn together")
    cells = run.cells if cell is None else [cell]
    return pd.concat([_of_cell(run, one) for one in cells], ignore_index=True) if cells else pd.DataFrame()


def _of_cell(run: RunData, cell: Cell) -> pd.DataFrame:
    import pandas as pd

    members, summary = run.members(cell), run.summary
    attacks = summary.attacks_on(cell.point, cell.split)
    scores = {attack: run.scores(cell, attack)["score"] for attack in attacks}
    count = sum(scores[a] > scores[a][~members].max() for a in attacks if a not in summary.controls)
    columns = {
        "cell": cell.name,
        "defense": cell.defense,
        "params": cell.params,
        "split": cell.split,
        "image": np.arange(len(members)),
        "file": _files(run, members),
        **({"subject": _safe(run.subject_names)} if run.subject_names is not None else {}),
        "copies": run.pool_of(cell)["copies"],
        "member": members,
        **_match(run, cell, members, EXTRACTION in attacks),
        "above_all_decoys": np.broadcast_to(count, members.shape),
        **{f"{SCORE}{attack}": score for attack, score in scores.items()},
    }
    table = pd.DataFrame(columns)
    return table.sort_values(["rank", "image"], kind="stable", ignore_index=True)


def _match(run: RunData, cell: Cell, members: np.ndarray, extracted: bool) -> dict[str, object]:
    """The columns of the attack `extraction`."""
    import pandas as pd

    if not extracted:
        names = ("nearest_sample", "l2", "adaptive", "q_value", "rank")
        return dict.fromkeys(names, math.nan)
    found = run.scores(cell, EXTRACTION)
    score, nearest = found["score"], found["nearest_sample"]
    matched = nearest >= 0
    return {
        "nearest_sample": pd.Series(nearest, dtype="Int64").mask(~matched),
        "l2": run.l2(cell, nearest),
        "adaptive": np.where(matched, -score, np.nan),
        "q_value": _q_values(run, cell, score, members),
        "rank": 1 + np.searchsorted(np.sort(-score), -score),
    }


def _q_values(run: RunData, cell: Cell, score: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The q-value of each image, or of its subject."""
    subjects = run.subjects(cell)
    if subjects is None:
        return q_values(score, members, run.coin(cell))
    of_subjects = np.full(len(subjects.members), np.nan)
    of_subjects[subjects.compared] = q_values(subjects.score(score), subjects.of_members, run.coin(cell))
    of_images: np.ndarray = of_subjects[subjects.of]
    return of_images


def _safe(names: Sequence[str]) -> list[str]:
    return [f"./{name}" if name.startswith(FORMULA) else name for name in names]


def _files(run: RunData, members: np.ndarray) -> list[str]:
    """The names of the files, so that none begins like a formula of a spreadsheet."""
    if run.files is None:
        return [""] * len(members)
    if run.known_membership:
        return [f"{'members' if m else 'decoys'}/{name}" for m, name in zip(members, run.files, strict=True)]
    return _safe(run.files)
