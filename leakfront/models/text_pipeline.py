"""An external text-to-image model, trained elsewhere: a diffusers pipeline folder with text encoders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from leakfront.documents import load_json
from leakfront.errors import InputError
from leakfront.memory import memory
from leakfront.models import ModelFamily, register
from leakfront.models.external.name import model_name
from leakfront.models.external.text.folder import TextPipeline

if TYPE_CHECKING:
    from leakfront.models.external.text.model import ExternalText

BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
SHAPE = "image_shape.json"  # of a copy in a run's folder


@register("text_pipeline")
@dataclass(frozen=True)
class TextPipelineFamily(ModelFamily):
    """A folder as `StableDiffusionPipeline.save_pretrained` writes it.

    Read are config.json and safetensors of the denoiser, the text encoders and the autoencoder, the tokenizers' JSON
    and text, and scheduler_config.json, which gives the noise levels; nothing else is opened. Samples are drawn by the
    run's own sampler. Keys depend on the contents of the files and not on `path`.

    dtype: the precision in which denoiser and text encoders are computed; the autoencoder has float32. offload: with a
    GPU, keep text encoders and autoencoder in main memory while they are not used. It needs transformers.
    """

    summary = "an external text-to-image model, trained elsewhere: a diffusers pipeline folder"
    trained = False
    external = True
    text = True
    places = ("path",)

    path: str
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    offload: bool = False

    @cached_property
    def _source(self) -> TextPipeline:
        try:
            return TextPipeline.read(Path(self.path).expanduser())
        except InputError:
            raise
        except (OSError, RuntimeError, ValueError) as error:
            cause = (isinstance(error, OSError) and error.strerror) or error
            raise InputError(f"the path of the model cannot be resolved ({cause}): {self.path!r}") from None

    @cached_property
    def _checksum(self) -> str:
        return self._source.checksum()

    def version(self) -> dict[str, Any]:
        """The SHA-256 of the model's files, wherever they lie, and the precision."""
        return {"sha256": self._checksum, "dtype": self.dtype}

    @property
    def label(self) -> str:
        """The name of the model in rows, made from that of its folder."""
        return model_name(Path(self.path))

    def notes(self) -> list[str]:
        """A line for each thing that was chosen, and for what the pipeline is made for."""
        notes, size = list(self._source.notes), self._source.size
        if size is not None:
            notes.append(f"it is made for images of {size[0]}x{size[1]} pixels; others are taken in their own size")
        if self.dtype != "float32":
            notes.append(f"denoiser and text encoders are computed in {self.dtype}")
        return notes

    @property
    def timesteps(self) -> int:
        """The number of noise levels."""
        return self._source.process.num_train_timesteps

    @property
    def weight_bytes(self) -> int:
        """The bytes of all weights in the precisions in which they are computed."""
        counts = {name: part.count for name, part in self._source.parts.items()}
        return sum(count * (4 if name == "vae" else BYTES[self.dtype]) for name, count in counts.items())

    def check(self, image_shape: tuple[int, int, int]) -> None:
        faults, (channels, height, width) = [], image_shape
        if channels != self._source.channels:
            faults.append(
                f"the model in {self.path} is for images of {self._source.channels} channels, but the images have "
                f"{channels}; set data.params.mode = {'grey' if self._source.channels == 1 else 'rgb'!r} to convert "
                "them"
            )
        multiple = self._source.factor * self._source.denoiser.settings.multiple
        if height % multiple or width % multiple:
            size = self._source.size or (multiple, multiple)
            faults.append(
                f"both sides of an image must be multiples of {multiple} for the model in {self.path}, but the images "
                f"have {height}x{width} pixels; set data.params.size, to {size[0]} for the size that it is made for"
            )
        if self.weight_bytes > memory():
            faults.append(
                f"the weights in {self.path} take {self.weight_bytes / 2**30:,.1f} GiB in {self.dtype}, but this "
                f"process may use {memory() / 2**30:,.1f} GiB; use a machine with more, or model.dtype = 'bfloat16' "
                "(--dtype)"
            )
        if faults:
            raise InputError(*faults)

    def check_captions(self, captions: Sequence[str]) -> None:
        """Do nothing: a caption of more tokens than the encoder takes is cut, as diffusers' training scripts do."""

    def examine(self) -> None:
        """Raise `InputError` unless settings and weights fit together; takes seconds, since it reads no weights."""
        for part in self._source.parts.values():
            part.network()
        for name, files in self._source.tokenizers.items():
            files.make(self._source.length(name.replace("tokenizer", "text_encoder")))

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> ExternalText:
        """The model in the folder, for images (C, H, W)."""
        return self._loaded(self._source, image_shape)

    def load(self, folder: Path) -> ExternalText:
        """The copy of the model that `save` wrote to a run's folder."""
        try:
            channels, height, width = map(int, load_json(folder / SHAPE))
        except (ValueError, TypeError) as error:
            raise InputError(f"{folder / SHAPE} cannot be read ({error}); delete the folder of the run") from None
        return self._loaded(TextPipeline.read(folder), (channels, height, width))

    def _loaded(self, source: TextPipeline, image_shape: tuple[int, int, int]) -> ExternalText:
        import torch

        from leakfront.models.external.text.build import built

        def write(folder: Path) -> None:
            source.copy(folder)
            (folder / SHAPE).write_text(json.dumps(image_shape))

        return built(source, image_shape, getattr(torch, self.dtype), self.offload, write)
