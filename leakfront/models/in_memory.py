"""A network of a person's own code that this Python process holds."""

from __future__ import annotations

import hashlib
import inspect
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from leakfront.errors import InputError
from leakfront.models import ModelFamily, register

if TYPE_CHECKING:
    from leakfront.models.own_network import OwnNetwork, PredictsNoise

_FILE = "in_memory.json"
_held: dict[str, PredictsNoise] = {}


@contextmanager
def held(model: PredictsNoise) -> Iterator[str]:
    """In the block, `InMemory` finds this model under the id that is yielded.

    The id names the class and a hash of the weights, the noise levels and the source of the class. A model whose
    weights or source cannot be seen gets an id of its own each time, since nothing says that it is the same.
    """
    known = f"{type(model).__name__.strip('_') or 'model'}-{_fingerprint(model)}"
    _held[known] = model
    try:
        yield known
    finally:
        del _held[known]


@register("in_memory")
@dataclass(frozen=True)
class InMemory(ModelFamily):
    """An object with `predict_noise(x_t, t, labels)` and `alphas_cumprod` (`leakfront.models.own_network`).

    `leakfront.attack` makes it. The object stays in the process that gave it, so nothing but that call can query it.
    The number of classes that it is conditioned on is its attribute `classes`, 0 if it has none.

    id: what `held` yielded for the object.
    """

    summary = "an object of Python code with predict_noise and alphas_cumprod, given to leakfront.attack"
    trained = False
    external = True

    id: str

    @property
    def timesteps(self) -> int:
        """The number of noise levels."""
        return len(self._model.alphas_cumprod)

    @property
    def classes(self) -> int:
        """The number of classes that the model is conditioned on, 0 for an unconditional model."""
        return int(getattr(self._model, "classes", 0))

    @property
    def conditional(self) -> bool:
        return self.classes > 0

    @property
    def label(self) -> str:
        """The name of the object's class."""
        return self.id.rpartition("-")[0] or self.id

    def check_classes(self, names: tuple[str, ...]) -> None:
        """Raise `InputError` unless the images have as many classes as the model."""
        if self.classes and self.classes != len(names):
            raise InputError(
                f"the model is conditioned on {self.classes} classes (its attribute `classes`), and the images have "
                f"{len(names)}; give members and decoys as (images, labels), or as one sub-folder per class"
            )

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> OwnNetwork:
        """The object as attacks see it; `InputError` unless it predicts noise for images of this shape."""
        from leakfront.models.own_network import OwnNetwork

        class Kept(OwnNetwork):
            def save(self, folder: Path) -> None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / _FILE).write_text(json.dumps(self.image_shape))

        return Kept(self._model, image_shape, self.classes)

    def load(self, folder: Path) -> OwnNetwork:
        """The object for images of the shape that the run's folder states; its weights are not stored there."""
        channels, height, width = json.loads((folder / _FILE).read_text())
        return self.build((channels, height, width), 0, 0)

    @property
    def _model(self) -> PredictsNoise:
        if self.id not in _held:
            raise InputError(
                "the model of this run was an object of a Python process, which no other process can query; call "
                "leakfront.attack with the object again"
            )
        return _held[self.id]


def _fingerprint(model: PredictsNoise) -> str:
    """16 hexadecimal digits; equal for a module of the same class with the same weights and noise levels."""
    import torch

    if not isinstance(model, torch.nn.Module) or not any(True for _ in model.parameters()):
        return secrets.token_hex(8)
    try:
        source = inspect.getsource(type(model))
    except (OSError, TypeError):
        return secrets.token_hex(8)
    digest = hashlib.sha256(source.encode())
    levels = {"alphas_cumprod": torch.as_tensor(model.alphas_cumprod)}
    for name, tensor in {**model.state_dict(), **levels}.items():
        values = tensor.detach().cpu().contiguous().flatten()
        digest.update(f"{name} {values.dtype} {tuple(tensor.shape)}".encode())
        digest.update(values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
