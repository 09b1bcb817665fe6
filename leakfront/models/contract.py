"""What the harness asks of a model family and of its models, trained or known in closed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol, TypeGuard, runtime_checkable

from annotated_types import Interval

from leakfront.registry import Plugin, parameters

if TYPE_CHECKING:
    import torch

MAX_TIMESTEPS = 100_000  # the literature uses 1,000 to 4,000; noise levels are computed one by one
Timesteps = Annotated[int, Interval(ge=1, le=MAX_TIMESTEPS)]
Prediction = Literal["epsilon", "v_prediction", "sample"]  # what a network outputs, by diffusers' names
Output = Literal["epsilon", "v_prediction", "sample", "edm"]  # edm: F of leakfront.models.preconditioning

# (network, images float32 [B, C, H, W] in [-1, 1], condition int64 [B, ...], generator) -> loss of each image [B]
PerExampleLoss = Callable[["torch.nn.Module", "torch.Tensor", "torch.Tensor", "torch.Generator"], "torch.Tensor"]


@runtime_checkable
class LossWithLevels(Protocol):
    """A `PerExampleLoss` that states the noise levels it trains at, as `leakfront.models.diffusion.DenoisingLoss` does.

    A defense can replace it by another loss at the same levels. alphas_cumprod: ab_t, float32 [T]. prediction: what the
    network outputs.
    """

    @property
    def alphas_cumprod(self) -> torch.Tensor: ...

    @property
    def prediction(self) -> Output: ...

    def given(self, condition: torch.Tensor, generator: torch.Generator) -> torch.Tensor | None:
        """What the network gets of the conditions int64 [B, ...]: None if it is unconditional."""

    def __call__(
        self, network: torch.nn.Module, images: torch.Tensor, condition: torch.Tensor, generator: torch.Generator
    ) -> torch.Tensor: ...


@dataclass(frozen=True, eq=False)
class Words:
    """How a condition of token ids, int64 [L], spells a caption: `begin`, its tokens, `end`, and `end` up to L.

    ids: int64 [V], the tokens that stand for a whole word.
    """

    begin: int
    end: int
    ids: torch.Tensor


class DiffusionModel(Protocol):
    """A denoiser with its forward process x_t = sqrt(ab_t) x_0 + sqrt(1 - ab_t) eps.

    A *condition* is int64 [N, ...]: zeros [N] for an unconditional model, a class [N], or the token ids of a caption
    [N, L]. A model that derives from this class is unconditional or class-conditional unless it says otherwise.

    image_shape: (C, H, W). alphas_cumprod: ab_t, float32 [T]. classes: the number of classes that the model is
    conditioned on, else 0. network: the network that a training loop optimizes, None for a closed form. null: the
    condition int64 [...] that says nothing, such as the empty caption; None if the model knows none. words: how
    conditions spell captions; None for all but text models. base: the model that this one was fine-tuned from, if it is
    known; it takes the same conditions and noise, and has the same noise levels.

    x_0 is the image itself, or in a latent model its code: float32 [N, *latent_shape], from `encode`.
    """

    image_shape: tuple[int, int, int]
    alphas_cumprod: torch.Tensor
    classes: int
    network: torch.nn.Module | None
    null: torch.Tensor | None = None
    words: Words | None = None
    base: DiffusionModel | None = None

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """The shape (C, H, W) of what `predict_noise` works on; the image's own, unless the model is a latent one."""
        return self.image_shape

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """x_0, float32 [N, *latent_shape], of images float32 [N, C, H, W] in [-1, 1]."""
        return images

    def decode(self, x_0: torch.Tensor) -> torch.Tensor:
        """Images float32 [N, C, H, W] of x_0 [N, *latent_shape]; they may leave [-1, 1]."""
        return x_0

    def aside(self) -> dict[str, int]:
        """What it did beside the calls of its network since it was loaded, such as images encoded, by name."""
        return {}

    def conditions(self, labels: torch.Tensor, captions: Sequence[str] | None) -> torch.Tensor:
        """The conditions int64 [N, ...] of images with labels int64 [N] in 0 … classes - 1 and N captions, if any."""
        return labels if self.classes else labels.new_zeros(labels.shape)

    def embed(self, condition: torch.Tensor) -> torch.Tensor:
        """What the network makes of a condition before it sees an image: float32 [N, L, d] of token ids [N, L].

        The condition itself where the network does not do this apart.
        """
        return condition

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        """eps_theta(x_t, t, condition), float32 [N, *latent_shape], for x_t of that shape and t int64 [N] in 0 … T-1.

        condition: int64 [N, ...], or what `embed` returned for it; None only for an unconditional model.
        """

    def parameters(self) -> dict[str, torch.Tensor]:
        """What the model learned, by name: the weights of a network, the images or moments of a closed form."""

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        """`predict_noise` as a function of `parameters()`, which torch.func can differentiate and map over."""

    def fit(self, images: torch.Tensor) -> None:
        """Take the training images, float32 [N, C, H, W] in [-1, 1]; called only if the family is not `trained`.

        If it is `text`, the images' conditions int64 [N, ...] are a second argument.
        """

    def loss(self) -> PerExampleLoss:
        """The training loss of each image; called only if the family is `trained`."""

    def save(self, folder: Path) -> None:
        """Write the model as safetensors and JSON; a network as a pipeline folder that diffusers can load."""


def in_pixels(model: DiffusionModel) -> bool:
    """Whether a model works on images themselves, whose values lie in [-1, 1], and not on codes of them."""
    return tuple(model.latent_shape) == tuple(model.image_shape)


@dataclass(frozen=True)
class Estimate:
    """What a model costs on this machine: seconds of a call for one image, those of an image's way into the model's
    space and back, and lines that say from what this follows."""

    call: float
    encode: float
    decode: float
    lines: tuple[str, ...]


class Generator:
    """A model that makes an image from noise in one call, and predicts no noise; unconditional.

    image_shape: (C, H, W). noise_shape: of the noise of one image. network: a module that generates when it is called.
    It has no noise levels: alphas_cumprod is empty.
    """

    image_shape: tuple[int, int, int]
    noise_shape: tuple[int, ...]
    network: torch.nn.Module
    classes: int = 0
    null: torch.Tensor | None = None
    words: Words | None = None
    base: DiffusionModel | None = None

    @property
    def alphas_cumprod(self) -> torch.Tensor:
        """float32 [0]."""
        import torch

        return torch.empty(0)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(C, H, W): it works on images themselves."""
        return self.image_shape

    def generate(self, noise: torch.Tensor) -> torch.Tensor:
        """Images float32 [N, C, H, W] in [-1, 1] of noise float32 [N, ...], drawn from N(0, I)."""
        raise NotImplementedError

    def discriminate(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits float32 [N] of images float32 [N, C, H, W] in [-1, 1], by name; each is higher for real images."""
        raise NotImplementedError

    def aside(self) -> dict[str, int]:
        """Nothing."""
        return {}

    def conditions(self, labels: torch.Tensor, captions: Sequence[str] | None) -> torch.Tensor:
        """Zeros int64 [N]: nothing is asked for."""
        return labels.new_zeros(labels.shape)

    def save(self, folder: Path) -> None:
        """Write the model as safetensors and JSON."""
        raise NotImplementedError


def generates(model: object) -> TypeGuard[Generator]:
    """Whether a model is a `Generator`, and no `DiffusionModel`."""
    return isinstance(model, Generator)


class ModelFamily(Plugin):
    """A frozen dataclass with the settings of a model; `timesteps`, `build` and `load` must be overridden.

    Class attributes in addition to those of `Plugin`: `kind`, whether it builds a `DiffusionModel` or a `Generator`;
    `trained` (whether the harness trains the models; a closed form
    is fitted instead), `external` (whether the models were trained elsewhere and are only attacked), `text` (whether
    the models are conditioned on captions; `build` then gets them) and `adapters` (whether training changes low-rank
    adapters on a base, and nothing else).
    """

    section: ClassVar[str] = "model"
    kind: ClassVar[Literal["diffusion", "generator"]] = "diffusion"
    trained: ClassVar[bool] = True
    external: ClassVar[bool] = False
    text: ClassVar[bool] = False
    adapters: ClassVar[bool] = False

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
    def base_family(self) -> ModelFamily | None:
        """The family of the model that these models are fine-tuned from, if the harness trains that on public images.

        It does so once for a run, by the section `training` with the changes of `base_training`, and passes it to `on`.
        """
        return None

    @property
    def base_training(self) -> Mapping[str, Any]:
        """Settings of the section `training` that differ for the base: `steps`, `batch_size`, `learning_rate`."""
        return {}

    @property
    def smallest(self) -> int:
        """A lower bound on the number of trained weights, used to refuse models that do not fit into memory."""
        return 0

    @property
    def has_null(self) -> bool:
        """Whether the models know a condition that says nothing, `DiffusionModel.null`."""
        return self.text

    @property
    def has_base(self) -> bool:
        """Whether the models know what they were fine-tuned from, `DiffusionModel.base`."""
        return False

    @property
    def label(self) -> str:
        """What rows call the models: the name of the family, or of the one model that is attacked."""
        return self.name

    def gpu_bytes(self) -> int:
        """The bytes of weights that a GPU must hold, if they are known before anything is loaded; else 0."""
        return 0

    def estimate(self, image_shape: tuple[int, int, int], device: str) -> Estimate | None:
        """What the models cost for images (C, H, W), if that is known without loading them; else None."""
        return None

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

    def check_captions(self, captions: Sequence[str]) -> None:
        """Raise `InputError` if a text model cannot take these captions, all those of a run."""

    def caption_notes(self, captions: Sequence[str]) -> list[str]:
        """What a reader should know of how a text model takes these captions; sentences without their ends."""
        return []

    def examine(self) -> None:
        """Raise `InputError` if the files that the model is read from do not make a model; takes seconds at most."""

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> DiffusionModel:
        """A model with fresh weights for images (C, H, W) of `classes` classes; equal seeds give equal weights.

        captions: for a text family, all captions of a run, in and outside the pool; it can learn their words.
        """
        raise NotImplementedError

    def on(self, base: DiffusionModel, seed: int) -> DiffusionModel:
        """The model before its fine-tuning, on a trained base, which it may change; for families with `base_family`.

        Its attribute `base` is the model that it was fine-tuned from.
        """
        raise NotImplementedError

    def load(self, folder: Path) -> DiffusionModel:
        """The model that `DiffusionModel.save` wrote to `folder`; `InputError` if there is none."""
        raise NotImplementedError
