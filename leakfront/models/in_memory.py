"""A network of a person's own code that this Python process holds."""

from __future__ import annotations

import hashlib
import inspect
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.errors import InputError
from leakfront.models import ModelFamily, register

if TYPE_CHECKING:
    import torch

    from leakfront.models.own_network import OwnNetwork, PredictsNoise

_FILE = "in_memory.json"
_held: dict[str, PredictsNoise] = {}


@contextmanager
def held(model: PredictsNoise) -> Iterator[str]:
    """In the block, `InMemory` finds this model under the id that is yielded.

    The id names the class and a hash of what the model does, see `_fingerprint`. A model whose weights, code or
    attributes cannot be seen gets an id of its own each time, since nothing says that it is the same.
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
    """16 hexadecimal digits: equal for modules of the same code, with the same weights, noise levels and attributes.

    The code is that of the classes of all its modules and of their bases; of torch, the version. What these call
    elsewhere is not looked at.
    """
    import torch

    if not isinstance(model, torch.nn.Module) or not any(True for _ in model.parameters()):
        return secrets.token_hex(8)
    digest = hashlib.sha256(torch.__version__.encode())
    try:
        for name, module in model.named_modules():
            digest.update(f"{name} {_code(type(module))} {_attributes(module)}".encode())
    except _UnseenError:
        return secrets.token_hex(8)
    levels = {"alphas_cumprod": torch.as_tensor(model.alphas_cumprod)}
    for name, tensor in {**model.state_dict(), **levels}.items():
        digest.update(f"{name} {_numbers(tensor)}".encode())
    return digest.hexdigest()[:16]


class _UnseenError(Exception):
    """Something that a model does cannot be seen, so nothing says whether two models are the same."""


def _code(kind: type) -> str:
    """The source of a class and of its bases."""
    own = [one for one in kind.__mro__ if one.__module__.partition(".")[0] not in ("torch", "builtins")]
    try:
        return "".join((kind.__qualname__, *(inspect.getsource(one) for one in own)))
    except (OSError, TypeError):
        raise _UnseenError from None


def _attributes(module: torch.nn.Module) -> str:
    """What a module holds beside parameters, buffers and modules, but whether it is training."""
    import torch

    own = vars(torch.nn.Module())
    return repr([(name, _seen(value)) for name, value in sorted(vars(module).items()) if name not in own])


def _seen(value: Any) -> Any:
    """A value that is the same for equal values. Raises `_UnseenError` for one of an unknown kind."""
    import torch

    if isinstance(value, torch.Tensor):
        return _numbers(value)
    if isinstance(value, np.ndarray):
        return _numbers(torch.as_tensor(value))
    if isinstance(value, Mapping):
        return [(str(key), _seen(held)) for key, held in value.items()]
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_seen(held) for held in (sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)]
    if isinstance(value, torch.nn.Module):
        return [_code(type(value)), _attributes(value), [_numbers(tensor) for tensor in value.state_dict().values()]]
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes, torch.dtype, torch.device, Path)):
        return repr(value)
    if inspect.isbuiltin(value):
        return value.__qualname__
    if inspect.isfunction(value) and value.__closure__ is None:
        try:
            return inspect.getsource(value)
        except OSError:
            raise _UnseenError from None
    raise _UnseenError


def _numbers(tensor: torch.Tensor) -> str:
    """The type, the shape and a hash of the numbers of a tensor."""
    import torch

    values = tensor.detach().cpu().contiguous().flatten()
    return (
        f"{values.dtype} {tuple(tensor.shape)} {hashlib.sha256(values.view(torch.uint8).numpy().tobytes()).hexdigest()}"
    )
