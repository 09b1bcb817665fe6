"""An external model, trained elsewhere: a diffusers pipeline folder of a UNet2DModel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Interval

from leakfront.errors import InputError
from leakfront.models import ModelFamily, register
from leakfront.models.external.folder import ExternalPipeline
from leakfront.models.external.name import model_name
from leakfront.models.external.value_range import ValueRange

if TYPE_CHECKING:
    from leakfront.models.external.model import ExternalDiffusion

Value = Annotated[float, Interval(ge=-1000, le=1000)]  # of black or white; 255 is the largest in use
NARROWEST = 1e-3  # range


@register("pipeline")
@dataclass(frozen=True)
class Pipeline(ModelFamily):
    """A folder as `DiffusionPipeline.save_pretrained` writes it, a flat one, or a checkpoint of a training script.

    Read are the network's config.json and safetensors, and scheduler_config.json, which gives the noise levels; nothing
    else in the folder is opened. Samples are drawn by the run's own sampler. Keys depend on the contents of the files
    and not on `path`.

    range: the values to which the training scaled black and white, [-1, 1] or [0, 1]. null_class: the last class
    embedding is no class (classifier-free guidance).
    """

    summary = "an external model, trained elsewhere: a diffusers pipeline folder of a UNet2DModel"
    trained = False
    external = True
    places = ("path",)

    path: str
    range: tuple[Value, Value] = (-1.0, 1.0)
    null_class: bool = False

    def validate(self) -> None:
        low, high = self.range
        if high - low < NARROWEST:
            raise InputError(
                f"model.range is {list(self.range)}; it must be the values of black and white in training, such as "
                "[-1, 1] or [0, 1]"
            )

    @cached_property
    def _source(self) -> ExternalPipeline:
        try:
            return ExternalPipeline.read(Path(self.path).expanduser())
        except InputError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            cause = (isinstance(error, OSError) and error.strerror) or error
            raise InputError(f"the path of the model cannot be resolved ({cause}): {self.path!r}") from None

    @cached_property
    def _checksum(self) -> str:
        return self._source.checksum()

    def version(self) -> dict[str, Any]:
        """The SHA-256 of the model's files, wherever they lie, and the settings with which they are read."""
        facts: dict[str, Any] = {"sha256": self._checksum}
        if not ValueRange(*self.range).is_usual:
            facts["range"] = list(self.range)
        return facts | ({"null_class": True} if self.null_class else {})

    @property
    def label(self) -> str:
        """The name of the model in rows, made from that of its folder."""
        return model_name(Path(self.path))

    def notes(self) -> list[str]:
        """A line for each thing that was chosen where the folder can be read in several ways."""
        return list(self._source.notes)

    @property
    def timesteps(self) -> int:
        """The number of noise levels."""
        return self._source.process.num_train_timesteps

    @property
    def classes(self) -> int:
        """The number of classes that the model is conditioned on, 0 for an unconditional model."""
        return max(self._source.embeddings - self.null_class, 0)

    @property
    def conditional(self) -> bool:
        return self._source.embeddings > 0

    def check(self, image_shape: tuple[int, int, int]) -> None:
        faults, own = [], self._source.image_shape(image_shape)
        if image_shape != own:
            (channels, height, width) = image_shape
            faults.append(
                f"the model in {self.path} is for {own[1]}x{own[2]} images with {_colours(own[0])}, but the images "
                f"have {height}x{width} pixels and {_colours(channels)}; use images of the model's size, or set "
                f"data.params.size = {own[1]} and data.params.mode = {'grey' if own[0] == 1 else 'rgb'!r} to "
                "convert them as they were converted for its training"
            )
        multiple = 2 ** (self._source.unet.levels - 1)
        if any(side % multiple for side in own[1:]):
            what = f"the images' size is {own[1]}x{own[2]}" if self._source.unet.sample_size is None else (
                f"its sample_size is {own[1]}x{own[2]}"
            )  # fmt: skip
            faults.append(
                f"the model in {self.path} has {self._source.unet.levels} resolutions, so both sides must be multiples "
                f"of {multiple}, but {what}"
            )
        if faults:
            raise InputError(*faults)

    def check_classes(self, names: tuple[str, ...]) -> None:
        """Raise `InputError` unless each class of the images, by name, has a class embedding of the model."""
        have, images = self._source.embeddings, len(names)
        if self.null_class and have < 2:
            raise InputError(
                f"model.null_class is set, but the model in {self.path} has {have} class embeddings; it needs one for "
                "no class beside those of the classes"
            )
        if not have or self.classes == images:
            return
        null = f" ({have} class embeddings without the null class)" if self.null_class else ""
        found = f"the model in {self.path} is conditioned on {self.classes} classes{null}, and the images have {images}"
        if images == 1:
            remedy = "put members and decoys into one sub-folder per class"
        elif images > self.classes:
            remedy = "leave out the images of classes that the model does not know"
        else:
            remedy = "if classes are missing from the images, list all of the model, in its order, as "
            remedy += "data.params.class_order"
            if images == have - 1:
                remedy = (
                    "if the last class embedding is the null class of classifier-free guidance, set model.null_class = "
                    f"true; {remedy}"
                )
        raise InputError(f"{found}; {remedy}")

    def examine(self) -> None:
        """Raise `InputError` unless settings and weights fit together; takes seconds, since it reads no weights."""
        size = 2 ** (self._source.unet.levels - 1)
        self._source.network(self._source.image_shape((1, size, size)))

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> ExternalDiffusion:
        """The model in the folder; of the arguments only the size of the images matters, if the network takes any."""
        return self._loaded(self._source, image_shape)

    def load(self, folder: Path) -> ExternalDiffusion:
        """The copy of the model that `save` wrote to a run's folder."""
        return self._loaded(ExternalPipeline.read(folder), None)

    def _loaded(self, source: ExternalPipeline, images: tuple[int, int, int] | None) -> ExternalDiffusion:
        from diffusers import DDPMScheduler

        from leakfront.models.external.model import ExternalDiffusion

        network: Any = source.network(source.image_shape(images))
        network.load_state_dict(source.weights.load(), assign=True)
        network.eval().requires_grad_(False)
        scheduler = DDPMScheduler(**source.process.settings())
        return ExternalDiffusion(network, scheduler, ValueRange(*self.range), self.null_class)


def _colours(channels: int) -> str:
    return "1 channel (grey)" if channels == 1 else f"{channels} channels"
