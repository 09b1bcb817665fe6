"""What the harness asks of a model family and of its models, trained or known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

from annotated_types import Interval

from leakfront.registry import Plugin, parameters

if TYPE_CHECKING:
    import torch

MAX_TIMESTEPS = 100_000  # the literature uses 1,000 to 4,000; noise levels are computed one by one
Timesteps = Annotated[int, Interval(ge=1, le=MAX_TIMESTEPS)]
Prediction = Literal["epsilon", "v_prediction", "sample"]  # what a network outputs, by diffusers' names

# (network, images float32 [B, C, H, W] in [-1, 1], labels int64 [B], generator) -> loss of each image [B]
PerExampleLoss = Callable[["torch.nn.Module", "torch.Tensor", "torch.Tensor", "torch.Generator"], "torch.Tensor"]


@runtime_checkable
class LossWithLevels(Protocol):
    """A `PerExampleLoss` that states the noise levels it trains at, as `leakfront.models.diffusion.DenoisingLoss` does.

    A defense can replace it by another loss at the same levels. alphas_cumprod: ab_t, float32 [T]. prediction: what the
    network outputs. conditional: whether the network gets the labels.
    """

    @property
    def alphas_cumprod(self) -> torch.Tensor: ...

    @property
    def prediction(self) -> Prediction: ...

    @property
    def conditional(self) -> bool: ...

    def __call__(
        self, network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor: ...


class DiffusionModel(Protocol):
    """A denoiser with its forward process x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) eps.

    image_shape: (C, H, W). alphas_cumprod: ab_t, float32 [T]. classes: the number of classes that the model is
    conditioned on, 0 for an unconditional model. network: the network that a training loop optimizes, None for a closed
    form.
    """

    image_shape: tuple[int, int, int]
    alphas_cumprod: torch.Tensor
    classes: int
    network: torch.nn.Module | None

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        """eps_theta(x_t, t): float32 [N, C, H, W] for x_t of that shape, t int64 [N] in 0 … T-1, labels int64 [N]."""

    def parameters(self) -> dict[str, torch.Tensor]:
        """What the model learned, by name: the weights of a network, the images or moments of a closed form."""

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        """`predict_noise` as a function of `parameters()`, which torch.func can differentiate and map over."""

    def fit(self, images: torch.Tensor) -> None:
        """Take the training images, float32 [N, C, H, W] in [-1, 1]; called only if the family is not `trained`."""

    def loss(self) -> PerExampleLoss:
        """The training loss of each image; called only if the family is `trained`."""

    def save(self, folder: Path) -> None:
        """Write the model as safetensors and JSON; a network as a pipeline folder that diffusers can load."""


class ModelFamily(Plugin):
    """A frozen dataclass with the settings of a model; `timesteps`, `build` and `load` must be overridden.

    Class attributes in addition to those of `Plugin`: `trained` (whether the harness trains the models; a closed form
    is fitted instead) and `external` (whether the models were trained elsewhere and are only attacked).
    """

    section: ClassVar[str] = "model"
    trained: ClassVar[bool] = True
    external: ClassVar[bool] = False

    @classmethod
    def where(cls) -> str:
        """ "model", the section of a config that holds the settings of its one model."""
        return cls.section

    @property
    def timesteps(self) -> int:
        """The number of noise levels T."""
        raise NotImplementedError

    @property
    def conditional(self) -> bool:
        """Whether the models are conditioned on the class."""
        return False

    @property
    def classes(self) -> int:
        """The number of classes that the models are conditioned on, if it is fixed before any image is read, else 0."""
        return 0

    @property
    def smallest(self) -> int:
        """A lower bound on the number of trained weights, used to refuse models that do not fit into memory."""
        return 0

    @property
    def label(self) -> str:
        """What rows call the models: the name of the family, or of the one model that is attacked."""
        return self.name

    def notes(self) -> Sequence[str]:
        """A line for each thing that a run should say about how the models were read."""
        return ()

    def version(self) -> dict[str, Any]:
        """The facts that decide what the models are, as JSON holds them; they are part of the training stage's key."""
        return parameters(self)

    def check(self, image_shape: tuple[int, int, int]) -> None:
        """Raise `InputError` if the model cannot be built for images (C, H, W)."""

    def check_classes(self, names: tuple[str, ...]) -> None:
        """Raise `InputError` if models that are not trained here do not know the classes of the images, by name."""

    def examine(self) -> None:
        """Raise `InputError` if the files that the model is read from do not make a model; takes seconds at most."""

    def build(self, image_shape: tuple[int, int, int], classes: int, seed: int) -> DiffusionModel:
        """A model with fresh weights for images (C, H, W) of `classes` classes; equal seeds give equal weights."""
        raise NotImplementedError

    def load(self, folder: Path) -> DiffusionModel:
        """The model that `DiffusionModel.save` wrote to `folder`; `InputError` if there is none."""
        raise NotImplementedError
