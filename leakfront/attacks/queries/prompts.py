"""What captions do to the noise prediction at pure noise, without any image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from leakfront.attacks.queries.given import Null

if TYPE_CHECKING:
    import torch

    from leakfront.attacks.queries.queries import Queries


def steering(queries: Queries, draw: int, t: int) -> torch.Tensor:
    """eps_theta(x_T, t, c) - eps_theta(x_T, t, null), of the shape of x_T, for start noise x_T number `draw`."""
    return queries.prompt_prediction(draw, t) - queries.prompt_prediction(draw, t, Null())


def length(values: torch.Tensor) -> torch.Tensor:
    """||v||_2 [N] of values [N, …]."""
    norms: torch.Tensor = values.flatten(1).norm(dim=1)
    return norms
