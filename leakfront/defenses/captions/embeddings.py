"""Changes of captions after a network has embedded them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from leakfront.models.contract import PerExampleLoss

# (embeddings float32 [B, L, d], CPU generator) -> the same shape
Change = Callable[["torch.Tensor", "torch.Generator"], "torch.Tensor"]


def with_noise(embedding: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """embedding + strength N(0, I)."""
    import torch

    return embedding + strength * torch.randn(embedding.shape, generator=generator).to(embedding.device)


def mixed(embedding: torch.Tensor, strength: float, generator: torch.Generator) -> torch.Tensor:
    """l embedding + (1 - l) embedding in another order, with one l ~ Beta(strength, 1) and one order for the batch."""
    import torch

    uniform = float(torch.rand((), dtype=torch.float64, generator=generator))
    share = math.pow(uniform, 1 / strength)  # which is Beta(strength, 1)
    order = torch.randperm(len(embedding), generator=generator).to(embedding.device)
    return share * embedding + (1 - share) * embedding[order]


def with_changed_embeddings(loss: PerExampleLoss, change: Change) -> PerExampleLoss:
    """The loss of a network with a method `embed`, whose embeddings are changed before they meet the images."""

    def changed(
        network: torch.nn.Module, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor:
        seen: Any = _Changed(network, lambda embedding: change(embedding, generator))
        return loss(seen, images, condition, generator)

    return changed


class _Changed:
    """A network that is called as diffusers' UNets are."""

    def __init__(self, network: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._network, self._change = network, change

    def __call__(
        self, x_t: torch.Tensor, timesteps: torch.Tensor, condition: torch.Tensor, return_dict: bool = False
    ) -> tuple[torch.Tensor, ...]:
        changed = self._change(self._network.embed(condition))
        outputs: tuple[torch.Tensor, ...] = self._network(x_t, timesteps, changed, return_dict=return_dict)
        return outputs
