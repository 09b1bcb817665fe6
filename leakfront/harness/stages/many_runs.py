"""The audit over all splits of a defense: one canary, which each model was trained with or without."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
from scipy.spatial.distance import cdist

from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.attack import load_scores
from leakfront.harness.stages.cell_rows import row_of
from leakfront.harness.stages.extractor import pool_set
from leakfront.harness.stages.prepare import load_members
from leakfront.harness.store.layout import Layout
from leakfront.results.run.rows import ALL, Row, measured
from leakfront.results.statistics.estimate import Estimate
from leakfront.results.statistics.many_run import guess, many_run_epsilon
from leakfront.results.statistics.subjects import Subjects


def many_run_rows(plan: Plan, cells: Sequence[CellPlan], layout: Layout, pool: Pool) -> list[Row]:
    """Bounds on epsilon from the models of all splits of one defense, for every attack that uses no shadow model.

    (One that does has seen the coins of the other splits, so that its guesses would not be independent.) The canary is
    chosen before anything is trained: of the images that are planted no more than once, the one farthest on average
    from the others in feature space. With subjects, it is a subject with the commonest number of images, described by
    their mean, and its score is the largest of theirs. Nothing for fewer than two splits, or a coin that is not fair.
    """
    attacks = [label for label, attack in plan.attacks.items() if not attack.uses_shadows and attack.access != "none"]
    if len(cells) < 2 or plan.config.data.coin != 0.5 or not attacks:
        return []
    features, eligible = pool_set(layout, pool).first_fit.matrix(), pool.copies == 1
    of = None if pool.subjects is None else np.asarray(pool.subjects)
    if of is not None:
        features, eligible = _of_subjects(features, of)
    canary = most_outlying(features, eligible)
    coins = [load_members(cell, layout) for cell in cells]
    subjects = [None if of is None else Subjects.judged(of, mine, matched=False) for mine in coins]
    members = np.array([(mine if s is None else s.of_members)[canary] for mine, s in zip(coins, subjects, strict=True)])
    delta, rows = plan.config.statistics.audit_delta, []
    for label in attacks:
        scores = (load_scores(label, cell, layout)["score"] for cell in cells)
        each = (mine if s is None else s.score(mine) for mine, s in zip(scores, subjects, strict=True))
        guesses = np.array([guess(mine, canary, eligible) for mine in each])
        bound = many_run_epsilon(guesses, members, delta, confidence=1 - 0.05 / len(attacks))
        right = int((guesses == members).sum())
        one = "canary" if of is None else "subject"
        method = (
            f"many-run audit of one {one}, {right} of {len(cells)} guesses right, corrected for {len(attacks)} attacks"
        )
        row = partial(row_of(plan, cells[0], split=ALL), kind="privacy", source=label, n=len(cells))
        found = measured(Estimate(bound.epsilon, bound.epsilon, math.inf, method))
        rows += [
            row(metric="many_run_epsilon_lower_bound", **found, higher_is_better=False),
            row(metric="many_run_epsilon_lower_bound_ceiling", value=bound.ceiling),
        ]
    return rows


def _of_subjects(features: np.ndarray, of: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean features of each subject, [S, d], and which have the commonest number of images, bool [S].

    The others cannot be compared with these: the largest of more scores is larger. features: [P, d]; of: int64 [P], the
    subject of each image.
    """
    images = np.bincount(of)
    total = np.zeros((len(images), features.shape[1]))
    np.add.at(total, of, features)
    return total / images[:, None], images == np.bincount(images).argmax()


def most_outlying(features: np.ndarray, eligible: np.ndarray) -> int:
    """The eligible image that is farthest on average from the others; features [P, d], eligible bool [P]."""
    among = np.flatnonzero(eligible)
    distance = np.concatenate(
        [cdist(features[part], features[among]).mean(1) for part in np.array_split(among, -(-len(among) // 1024))]
    )
    return int(among[int(np.argmax(distance))])
