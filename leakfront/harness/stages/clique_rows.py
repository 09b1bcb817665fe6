"""Rows on captions that give the same image again and again: what their cliques show, beside the counts of images."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from leakfront.harness.plan.plan import CellPlan, Plan
from leakfront.harness.pool.pool import Pool
from leakfront.harness.stages.cell_rows import row_of
from leakfront.harness.stages.pool import member_share
from leakfront.results.run.rows import Row


def clique_rows(
    plan: Plan, cell: CellPlan, attack: str, scores: dict[str, np.ndarray], members: np.ndarray, pool: Pool
) -> list[Row]:
    """How many flagged captions show a member, a decoy or no image of the pool, whosever caption it is.

    And how many planted members were asked for, with a sentence on whether they are enough for a count at the
    false-discovery rate. scores: with "clique_shows" int64 [P] (a pool image; -1 for none, -2 if the caption is not
    flagged) and "asked" bool [P]. members: bool [P].
    """
    row = partial(row_of(plan, cell), kind="privacy", source=attack)
    shown, asked = scores["clique_shows"], scores["asked"].astype(bool)
    flagged = int((shown >= -1).sum())
    of_members, of_decoys = (int(side[shown[shown >= 0]].sum()) for side in (members, ~members))
    rate, share = plan.config.statistics.false_discovery_rate, member_share(plan, members)
    least, planted = math.ceil(share / (1 - share) / rate), int((members & asked & (pool.copies > 1)).sum())
    can = "so planted pairs alone can reach it" if planted >= least else "so planted pairs alone cannot reach it"
    sentence = f"a count at a false-discovery rate of {rate:g} is at least {least} or 0, {can}"
    return [
        row(metric="cliques_showing_member", value=float(of_members), n=flagged, higher_is_better=False),
        row(metric="cliques_showing_decoy", value=float(of_decoys), n=flagged),
        row(metric="cliques_showing_nothing", value=float(flagged - of_members - of_decoys), n=flagged),
        row(metric="planted_members_asked", value=float(planted), n=int(asked.sum()), ci_method=sentence),
    ]
