"""No model: generated images are judged alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leakfront.models import DiffusionModel, ModelFamily, register
from leakfront.models.contract import PerExampleLoss

if TYPE_CHECKING:
    import torch

_FILE = "no_model.json"
_WHY = "there is no model to query, only generated images"


@register("no_model")
@dataclass(frozen=True)
class NoModel(ModelFamily):
    """Stands where a run has generated images and no model (`generated` in the config).

    Attacks that would query a model are left out, and nothing is sampled.
    """

    summary = "no model: images that somebody generated are judged alone"
    trained = False
    external = True

    @property
    def timesteps(self) -> int:
        """1,000, those for which the suites are stated; nothing is asked at any of them."""
        return 1000

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> Nothing:
        return Nothing(image_shape)

    def load(self, folder: Path) -> Nothing:
        channels, height, width = json.loads((folder / _FILE).read_text())
        return Nothing((channels, height, width))


class Nothing(DiffusionModel):
    """What the harness holds in place of a model; it answers nothing."""

    classes = 0
    network = None

    def __init__(self, image_shape: tuple[int, int, int]) -> None:
        import torch

        self.image_shape = image_shape
        self.alphas_cumprod = torch.empty(0)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        raise TypeError(_WHY)

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        raise TypeError(_WHY)

    def loss(self) -> PerExampleLoss:
        raise TypeError(_WHY)

    def fit(self, images: torch.Tensor) -> None:
        """Do nothing: there is no model."""

    def parameters(self) -> dict[str, torch.Tensor]:
        return {}

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _FILE).write_text(json.dumps(self.image_shape))
