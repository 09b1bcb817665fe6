"""A network that several ranks compute together gives all rows on each, and the gradients of the ranks add up."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from leakfront.defenses.training import sharded
from leakfront.defenses.training.ranks import Ranks
from leakfront.defenses.training.sharded import Sharded
from tests.defenses.text_setup import batch, text_setup


@pytest.mark.parametrize("count", [5, 1])  # with one row, the second rank is idle
def test_embeddings_of_all_ranks_are_those_of_one(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, _ = text_setup()
    network: Any = setup.network
    _, condition = batch(setup, count)
    whole = network.embed(condition)
    weights = torch.randn(whole.shape, generator=torch.Generator().manual_seed(0))
    trained = list(network.text_encoder.parameters())
    wanted = torch.autograd.grad((whole * weights).sum(), trained)

    def all_gather(parts: list[torch.Tensor], own: torch.Tensor) -> None:
        for rank, part in enumerate(parts):
            rows = whole[Ranks(rank, 2).share(count)].detach()
            part.zero_()[: len(rows)] = rows

    monkeypatch.setattr(sharded.dist, "all_gather", all_gather)
    passed = [0, 0]
    sums = [torch.zeros_like(gradient) for gradient in wanted]
    for rank in range(2):
        network_of_rank = Sharded(network, Ranks(rank, 2, lambda rows, r=rank: passed.__setitem__(r, rows)), 1)
        found = network_of_rank.embed(condition)
        torch.testing.assert_close(found, whole)
        if found.requires_grad:
            gradients = torch.autograd.grad((found * weights).sum(), trained, allow_unused=True)
            sums = [s if g is None else s + g for s, g in zip(sums, gradients, strict=True)]
    for total, gradient in zip(sums, wanted, strict=True):
        torch.testing.assert_close(total, gradient, rtol=1e-4, atol=1e-5)
    assert passed == [0, 0]  # embedding is not counted as images through the network
