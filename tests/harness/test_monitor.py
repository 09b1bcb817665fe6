"""The monitor of a training in progress says what extraction and the distance metrics say of the same images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import leakfront
from leakfront.errors import InputError
from leakfront.harness.given import folder_of
from tests import oracle_targets as oracle


def test_it_sees_a_model_that_copies_and_none_that_does_not(tmp_path: Path) -> None:
    images = oracle.digits()
    members, decoys, others = images[:100], images[100:200], images[300:500]
    monitor = leakfront.LeakMonitor(members, decoys, neighbours=20)
    clean = monitor(others)
    samples = np.concatenate([members[:30], others])
    leaking = monitor(torch.from_numpy(samples).float() / 127.5 - 1)
    assert monitor.history == [clean, leaking]
    assert clean.members_before_decoys <= 4
    assert leaking.members_before_decoys >= 30
    assert clean.p_value == pytest.approx(0.5**clean.members_before_decoys)
    assert leaking.p_value < 1e-8
    assert leaking.excess.low > 0 > clean.excess.low
    for name in ("dcr_share", "authenticity_gap", "identifiability_gap"):
        assert getattr(leaking, name).value > getattr(clean, name).value, name
    folders = [folder_of(side, name, tmp_path)[0] for name, side in (("members", members), ("decoys", decoys))]
    assert leakfront.LeakMonitor(*map(Path, folders), neighbours=20)(samples) == leaking
    result = leakfront.attack(
        samples=samples, members=members, decoys=decoys, overrides=["attacks.extraction.neighbours=20"]
    )
    rows = result.rows[result.rows["split"] == "0"].set_index(["source", "metric"])["value"]
    assert rows[("extraction", "members_before_decoys")] == leaking.members_before_decoys
    assert rows[("extraction", "excess_adaptive")] == leaking.excess.value
    assert rows[("distances", "dcr_share")] == leaking.dcr_share.value
    assert rows[("distances", "authenticity_gap")] == leaking.authenticity_gap.value
    assert rows[("extraction", "n_copies")] == pytest.approx(30 / 230, abs=0.02)


def test_what_it_cannot_compare_is_said() -> None:
    images = oracle.digits()
    with pytest.raises(InputError, match="both must have at least two images"):
        leakfront.LeakMonitor(images[:1], images[:9])
    with pytest.raises(InputError, match=r"samples are \[3, 1, 4, 4\]"):
        leakfront.LeakMonitor(images[:9], images[9:18])(images[:3, :, :4, :4])
