"""Memory for per-example gradients. Fresh memory costs time: its pages are mapped and cleared at the first write."""

from __future__ import annotations

import math

import torch

SCRATCH = 300_000  # numbers of unfolded input at once: so many stay in a processor's cache


class Workspace:
    """Memory that every step uses again; examples have `draws` consecutive rows each.

    `keep` gives out parts of one block until `reset`. `scratch` gives memory that is valid until the next call with the
    same name.
    """

    def __init__(self, draws: int) -> None:
        self.draws = draws
        self._block, self._taken, self._wanted = torch.empty(0), 0, 0
        self._scratch: dict[tuple[str, torch.dtype, torch.device], torch.Tensor] = {}

    def reset(self) -> None:
        """Let the next step write over everything given out by `keep`."""
        self._wanted, self._taken = max(self._taken, self._wanted), 0

    def keep(self, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """An uninitialized tensor of that shape, with the type and device of `like`, for the rest of the step."""
        size = math.prod(shape)
        if self._taken == 0 and (
            self._block.numel() < self._wanted or (self._block.dtype, self._block.device) != (like.dtype, like.device)
        ):
            self._block = like.new_empty(self._wanted)
        start, self._taken = self._taken, self._taken + size
        if self._taken > self._block.numel() or self._block.dtype != like.dtype:
            return like.new_empty(shape)
        return self._block[start : start + size].view(shape)

    def scratch(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
        """An uninitialized tensor of that shape, with the type and device of `like`."""
        size, key = math.prod(shape), (name, like.dtype, like.device)
        if key not in self._scratch or self._scratch[key].numel() < size:
            self._scratch[key] = like.new_empty(max(size, SCRATCH))
        return self._scratch[key][:size].view(shape)

    def of_examples(self, rows: torch.Tensor) -> torch.Tensor:
        """Put the positions of an example's rows together: [B K, T, D] -> [B, K T, D]."""
        return rows if self.draws == 1 else rows.reshape(len(rows) // self.draws, -1, rows.shape[-1])

    def added(self, rows: torch.Tensor) -> torch.Tensor:
        """Add up an example's rows: [B K, ...] -> [B, ...]."""
        return rows if self.draws == 1 else rows.view(-1, self.draws, *rows.shape[1:]).sum(1)
