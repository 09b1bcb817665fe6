"""A training step that leaves out the pairs of a batch whose caption steers too strongly."""

from __future__ import annotations

from typing import Any

import torch

from leakfront.defenses.contract import TrainingSet, TrainingSetup
from leakfront.defenses.training.plain_step import PlainStep


class FilteredStep(PlainStep):
    """See `leakfront.defenses.magnitude_filter.MagnitudeFilter`. threshold: None for the first epoch's quantile."""

    def __init__(self, setup: TrainingSetup, quantile: float, threshold: float | None) -> None:
        super().__init__(setup)
        first = setup.dataset
        empty = TrainingSet(first.images[:1], first.labels[:1], first.pool_index[:1], captions=("",))
        self._null = setup.conditions(empty).to(setup.device)
        self._quantile, self._threshold = quantile, threshold
        self._first: list[torch.Tensor] = []  # magnitudes of the first epoch
        self._seen = self._dropped = 0

    def update(self, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator) -> float:
        images = self._setup.augment(images, generator)
        condition = self._setup.recondition(condition, generator)
        watched: Any = _Watched(self._setup.network, self._null)
        losses = self._setup.loss(watched, images, condition, generator)
        kept = self._kept(watched.magnitudes)
        self.optimizer.zero_grad()
        if bool(kept.any()):
            torch.autograd.backward(losses[kept].mean())
            self.optimizer.step()
        return losses.detach().mean().item()

    def _kept(self, magnitudes: torch.Tensor) -> torch.Tensor:
        """Which of the pairs count, bool [B]; all in the first epoch, which the threshold is taken from."""
        if self._threshold is None:
            self._first.append(magnitudes.cpu())
            known = torch.cat(self._first)
            if len(known) >= self._setup.size:
                steered = known[known > 0].double()
                self._threshold = float(steered.quantile(self._quantile)) if len(steered) else 0.0
                self._first = []
            return torch.ones_like(magnitudes, dtype=torch.bool)
        kept = (magnitudes < self._threshold) | (magnitudes == 0)
        self._seen += len(kept)
        self._dropped += int((~kept).sum())
        return kept

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(), "first": list(self._first), "threshold": self._threshold, "seen": self._seen,
            "dropped": self._dropped,
        }  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._first, self._threshold = list(state["first"]), state["threshold"]
        self._seen, self._dropped = state["seen"], state["dropped"]

    def report(self) -> dict[str, float]:
        known = {} if self._threshold is None else {"magnitude_threshold": self._threshold}
        return {**known, "left_out_fraction": self._dropped / self._seen if self._seen else 0.0}


class _Watched:
    """A text network, called as diffusers' UNets are, that notes how strongly the conditions steer its output.

    magnitudes: ||output(x_t, t, c) - output(x_t, t, null)||_2 [B], of the last call.
    """

    magnitudes: torch.Tensor

    def __init__(self, network: Any, null: torch.Tensor) -> None:
        self._network, self._null = network, null

    def embed(self, condition: torch.Tensor) -> torch.Tensor:
        embedding: torch.Tensor = self._network.embed(condition)
        return embedding

    def __call__(
        self, x_t: torch.Tensor, timesteps: torch.Tensor, condition: torch.Tensor, return_dict: bool = False
    ) -> tuple[torch.Tensor]:
        (output,) = self._network(x_t, timesteps, condition, return_dict=False)
        with torch.no_grad():
            null = self._null.expand(len(x_t), *self._null.shape[1:])
            (without,) = self._network(x_t, timesteps, null, return_dict=False)
            self.magnitudes = (output - without).flatten(1).norm(dim=1)
        return (output,)
