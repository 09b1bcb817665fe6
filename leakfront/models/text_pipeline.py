"""An external text-to-image model, trained elsewhere: a diffusers pipeline folder with text encoders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from annotated_types import Interval

from leakfront.documents import load_json
from leakfront.errors import InputError
from leakfront.memory import memory
from leakfront.models import ModelFamily, register
from leakfront.models.contract import Estimate
from leakfront.models.external.name import model_name
from leakfront.models.external.text.folder import TextPipeline
from leakfront.models.external.text.lora import LoraFile

if TYPE_CHECKING:
    from leakfront.models.adapters.layers import Adapter
    from leakfront.models.external.text.model import ExternalText

Source = TypeVar("Source")
Adapters = dict[str, dict[str, "Adapter"]]
BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
SHAPE, LORA, BASE = "image_shape.json", "pytorch_lora_weights.safetensors", "base"  # of a copy in a run's folder


@register("text_pipeline")
@dataclass(frozen=True)
class TextPipelineFamily(ModelFamily):
    """A folder as diffusers' pipelines of Stable Diffusion 1, 2, XL and 3 and of Flux write it by `save_pretrained`.

    Read are config.json and safetensors of the denoiser, the text encoders and the autoencoder, the tokenizers' JSON
    and text, and scheduler_config.json, which gives the noise levels; nothing else is opened. Samples are drawn by the
    run's own sampler. Keys depend on the contents of the files and not on `path`.

    lora: a file of low-rank adapters to put on it, pytorch_lora_weights.safetensors or one of kohya's scripts. base:
    the folder that it was fine-tuned from, whole; with a LoRA the base is the model in `path`. Attacks compare with it.

    dtype: the precision in which denoiser and text encoders are computed; the autoencoder has float32. offload: with a
    GPU, keep text encoders and autoencoder in main memory while they are not used. distilled_guidance: the scale that a
    network with distilled guidance (Flux dev) is given. It needs transformers.
    """

    summary = "an external text-to-image model, trained elsewhere: a diffusers pipeline folder"
    trained = False
    external = True
    text = True
    places = ("path", "lora", "base")

    path: str
    lora: str | None = None
    base: str | None = None
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    offload: bool = False
    distilled_guidance: Annotated[float, Interval(ge=0, le=100)] = 3.5

    def validate(self) -> None:
        if self.lora is not None and self.base is not None:
            raise InputError("model.lora and model.base are both set, but the base of a LoRA is the model itself")

    @cached_property
    def _source(self) -> TextPipeline:
        return _read(self.path, TextPipeline.read)

    @cached_property
    def _base(self) -> TextPipeline | None:
        return None if self.base is None else _read(self.base, TextPipeline.read)

    @cached_property
    def _lora(self) -> LoraFile | None:
        return None if self.lora is None else _read(self.lora, LoraFile)

    @cached_property
    def _checksums(self) -> dict[str, str]:
        base = {} if self._base is None else {"base": self._base.checksum()}
        lora = {} if self._lora is None else {"lora": self._lora.sha256}
        return {"sha256": self._source.checksum(), **base, **lora}

    @cached_property
    def _adapters(self) -> Adapters:
        """The adapters of the LoRA, if there is one, by part and layer."""
        return {} if self._lora is None else _fitting(self._lora, self._source)

    def version(self) -> dict[str, Any]:
        """The SHA-256 of the model's files, wherever they lie, and the precision."""
        distilled = {"distilled_guidance": self.distilled_guidance} if not self.has_null else {}
        return {**self._checksums, "dtype": self.dtype, **distilled}

    @property
    def has_null(self) -> bool:
        return self._source.kind.network != "Flux"

    @property
    def has_base(self) -> bool:
        return self.lora is not None or self.base is not None

    @property
    def label(self) -> str:
        """The name of the model in rows, made from that of its folder and of its LoRA."""
        return adapted_name(self.path, self.lora)

    def notes(self) -> list[str]:
        """A line for each thing that was chosen, and for what the pipeline is made for."""
        notes, size = list(self._source.notes), self._source.size
        if size is not None:
            notes.append(f"it is made for images of {size[0]}x{size[1]} pixels; others are taken in their own size")
        notes.append("samples are compared with the images, and with what its autoencoder makes of these")
        layers = [adapter for own in self._adapters.values() for adapter in own.values()]
        if layers:
            unsaid = sum(adapter.alpha is None for adapter in layers)
            notes.append(f"the LoRA has adapters on {len(layers)} layers of {' and '.join(self._adapters)}")
            if unsaid:
                notes.append(f"the LoRA does not state alpha for {unsaid} of them; it is taken as the rank")
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
        base = [] if self._base is None else [part.count for name, part in self._base.parts.items() if name != "vae"]
        counts = {name: part.count for name, part in self._source.parts.items()}
        return 4 * counts.pop("vae") + BYTES[self.dtype] * sum([*counts.values(), *base])

    def gpu_bytes(self) -> int:
        """The bytes of all weights, or if parts are kept off the GPU those of the denoiser."""
        if not self.offload:
            return self.weight_bytes
        denoisers = [source.denoiser.count for source in (self._source, self._base) if source is not None]
        return BYTES[self.dtype] * sum(denoisers)

    def estimate(self, image_shape: tuple[int, int, int], device: str) -> Estimate:
        """Counted from the settings alone, at the speed of a matrix product on this machine."""
        import torch

        from leakfront.models.external.text.cost import cost_of, speed

        source, dtype = self._source, getattr(torch, self.dtype)
        settings = {name: part.settings for name, part in source.parts.items()}
        cost = cost_of(source.kind, settings, image_shape, [source.length(name) for name in source.kind.encoders])
        fast, plain = speed(device, dtype), speed(device, torch.float32)
        sizes = ", ".join(f"{name} {count / 1e6:,.1f} M" for name, count in cost.weights.items())
        lines = (
            f"weights: {sizes}; {self.weight_bytes / 2**30:,.1f} GiB in {self.dtype} with their base, if there is one",
            f"operations for an image of {image_shape[1]}x{image_shape[2]} pixels: {cost.call / 1e12:,.3f} T a call, "
            f"{cost.encode / 1e12:,.3f} T to encode, {cost.decode / 1e12:,.3f} T to decode; "
            f"{fast / 1e12:,.2f} T a second in a matrix product here, which networks do not reach",
        )
        return Estimate(cost.call / fast, cost.encode / plain, cost.decode / plain, lines)

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
        """Do nothing: a caption of more tokens than the encoder takes is cut, as diffusers' training scripts do.

        See `caption_notes`.
        """

    def caption_notes(self, captions: Sequence[str]) -> list[str]:
        return [
            note
            for name, files in self._source.tokenizers.items()
            if (note := cut(files.make(length := self._source.length(self._source.encoder_of(name))), length, captions))
        ]

    def examine(self) -> None:
        """Raise `InputError` unless settings and weights fit together; takes seconds, since it reads no weights."""
        made = _examined(self._source)
        assert self._adapters is not None  # read, and fitted
        if self._base is None:
            return
        ours, theirs = self._source, self._base
        what = f"the base in {self.base} and the model in {self.path}"
        if ours.kind != theirs.kind or ours.grid != theirs.grid:
            raise InputError(f"{what} do not work on the same latents, so that they cannot be compared")
        if ours.process.levels != theirs.process.levels:
            raise InputError(f"{what} have different noise levels, so that they cannot be compared")
        if made != _examined(theirs):
            raise InputError(f"{what} have different tokenizers, so that they cannot be compared")

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> ExternalText:
        """The model in the folder, for images (C, H, W)."""
        return self._loaded(self._source, image_shape, self._lora, self._base)

    def load(self, folder: Path) -> ExternalText:
        """The copy of the model that `save` wrote to a run's folder."""
        try:
            channels, height, width = map(int, load_json(folder / SHAPE))
        except (ValueError, TypeError) as error:
            raise InputError(f"{folder / SHAPE} cannot be read ({error}); delete the folder of the run") from None
        lora = LoraFile(folder / LORA) if self.lora is not None else None
        base = TextPipeline.read(folder / BASE) if self.base is not None else None
        return self._loaded(TextPipeline.read(folder), (channels, height, width), lora, base)

    def _loaded(
        self, source: TextPipeline, image_shape: tuple[int, int, int], lora: LoraFile | None, base: TextPipeline | None
    ) -> ExternalText:
        import torch

        from leakfront.models.external.text.build import built

        def write(folder: Path) -> None:
            source.copy(folder)
            (folder / SHAPE).write_text(json.dumps(image_shape))
            if lora is not None:
                shutil.copyfile(lora.path, folder / LORA)
            if base is not None:
                base.copy(folder / BASE)

        adapters = {} if lora is None else _fitting(lora, source)
        return built(
            source,
            image_shape,
            getattr(torch, self.dtype),
            self.offload,
            write,
            adapters,
            base,
            self.distilled_guidance,
        )


def adapted_name(path: str, lora: str | None) -> str:
    """The name of the model in a folder and of the LoRA on it: of its file, or of its folder if diffusers named it."""
    if lora is None:
        return model_name(Path(path))
    file = Path(lora)
    return f"{model_name(Path(path))}-{model_name(file.parent if file.name == LORA else file.with_suffix(''))}"


def _read(path: str, read: Callable[[Path], Source]) -> Source:
    """What is at a path of a config; `InputError` for one that cannot be."""
    try:
        return read(Path(path).expanduser())
    except InputError:
        raise
    except (OSError, RuntimeError, ValueError) as error:
        cause = (isinstance(error, OSError) and error.strerror) or error
        raise InputError(f"the path of the model cannot be resolved ({cause}): {path!r}") from None


def _fitting(lora: LoraFile, source: TextPipeline) -> Adapters:
    """The adapters of a file by the parts of a pipeline, which are built without memory for this."""
    return lora.adapters({name: part.network() for name, part in source.parts.items() if name != "vae"})


def cut(tokenizer: Any, length: int, captions: Sequence[str]) -> str:
    """A sentence on captions that are cut to `length` tokens; empty if none is."""
    distinct = list(dict.fromkeys(captions))
    whole = [tuple(ids) for ids in tokenizer(distinct, truncation=False)["input_ids"]] if distinct else []
    longer = sum(len(ids) > length for ids in whole)
    if not longer:
        return ""
    kept = tokenizer(distinct, truncation=True, max_length=length)["input_ids"]
    merged = len(set(whole)) - len({tuple(ids) for ids in kept})
    same = f", which leaves {merged} without a difference from another" if merged else ""
    return (
        f"captions: {longer:,} of {len(distinct):,} have more tokens than the {length} that the model's text encoder "
        f"takes, and are cut{same}"
    )


def _examined(source: TextPipeline) -> list[Any]:
    """Build all parts without memory, and the tokenizers; returns what these make of every token."""
    for part in source.parts.values():
        part.network()
    made = [files.make(source.length(source.encoder_of(name))) for name, files in source.tokenizers.items()]
    return [(one.get_vocab(), one.model_max_length, one.pad_token_id) for one in made]
