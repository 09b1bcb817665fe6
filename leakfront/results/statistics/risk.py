"""The residual risk in the sense of anonymization: what an attack finds of members beyond what it finds of others."""

from __future__ import annotations

from leakfront.results.statistics.counts import clopper_pearson
from leakfront.results.statistics.estimate import Estimate


def residual_risk(members_matched: int, n_members: int, decoys_matched: int, n_decoys: int) -> Estimate:
    """(r_m - r_d) / (1 - r_d), with r the matched shares of members and of decoys.

    Source: Giomi et al. 2023, arXiv 2211.10459, with decoys as the control. It is the share of members that are found
    and would not be by chance. The interval joins two Clopper-Pearson intervals at 97.5%, so it covers with at least
    95% for independent images. It may reach below 0; the value is at most 1, and nan if all decoys are matched. Raises
    `ValueError` as `clopper_pearson` does.
    """
    low_m, high_m = clopper_pearson(members_matched, n_members, 0.975)
    low_d, high_d = clopper_pearson(decoys_matched, n_decoys, 0.975)
    method = "two Clopper-Pearson intervals at 97.5%"
    ends = (_risk(members_matched / n_members, decoys_matched / n_decoys), _risk(low_m, high_d), _risk(high_m, low_d))
    return Estimate(*ends, method)


def _risk(members: float, decoys: float) -> float:
    return (members - decoys) / (1 - decoys) if decoys < 1 else float("nan")
