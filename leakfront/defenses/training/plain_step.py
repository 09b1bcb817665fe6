"""The undefended training step: a uniform batch and Adam."""

from __future__ import annotations

from typing import Any

import torch

from leakfront.defenses.contract import Guarantee, TrainingSetup
from leakfront.defenses.training.sharded import shared


def make_optimizer(setup: TrainingSetup) -> torch.optim.Optimizer:
    """Adam on the trainable parameters, or AdamW (decay decoupled from the gradient) if there is weight decay."""
    trained = [parameter for parameter in setup.network.parameters() if parameter.requires_grad]
    if setup.weight_decay:
        return torch.optim.AdamW(trained, lr=setup.learning_rate, weight_decay=setup.weight_decay, fused=True)
    return torch.optim.Adam(trained, lr=setup.learning_rate, fused=True)


class PlainStep:
    """Batches drawn uniformly with replacement, and the optimizer of `make_optimizer` on the mean loss."""

    def __init__(self, setup: TrainingSetup) -> None:
        self._setup = setup
        self._parameters = list(setup.network.parameters())
        self.optimizer = make_optimizer(setup)

    def draw(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(self._setup.size, (self._setup.batch_size,), generator=generator)

    def update(self, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator) -> float:
        images = self._setup.augment(images, generator)
        condition = self._setup.recondition(condition, generator)
        ranks = self._setup.ranks
        loss = shared(self._setup.loss, ranks)(self._setup.network, images, condition, generator).mean()
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        ranks.all_reduce([p.grad for p in self._parameters if p.grad is not None])
        self.optimizer.step()
        return loss.item()

    def state_dict(self) -> dict[str, Any]:
        return {"optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.optimizer.load_state_dict(state["optimizer"])

    def report(self) -> dict[str, float]:
        return {}

    def guarantee(self) -> Guarantee | None:
        return None
