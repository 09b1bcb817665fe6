"""A text-to-image pipeline folder from any source, read safely: it cannot run code, lead out of the folder or fill
memory.

Only safetensors, JSON and the text of a tokenizer are read. Every setting is checked against the values that the
library's network accepts, and the names and shapes of the weights against those of the network, before memory is
allocated.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import safe_open

from leakfront.errors import InputError
from leakfront.models.external.documents import one_of, read_object, shown
from leakfront.models.external.folder import MOST
from leakfront.models.external.places import INDEX, SCHEDULER, require_folder, snapshot
from leakfront.models.external.scheduler_config import SchedulerConfig, read_scheduler
from leakfront.models.external.text.components import Component, read_component
from leakfront.models.external.text.flow_config import FlowConfig, read_flow
from leakfront.models.external.text.kinds import KINDS, NOT_READ, PipelineKind
from leakfront.models.external.text.tokenizers import TokenizerFiles, read_tokenizer

REFINER = "StableDiffusionXLImg2ImgPipeline"
_SPARE = 256  # rows of an embedding beyond the tokens; T5 has 28


@dataclass(frozen=True)
class TextPipeline:
    """A pipeline folder whose settings were read and checked; of its weights only the headers.

    index: what model_index.json states. parts: the networks by the names of their folders. scheduler: the path of
    scheduler_config.json. notes: lines on what was chosen where the folder can be read in several ways.
    """

    folder: Path
    kind: PipelineKind
    index: dict[str, Any]
    parts: dict[str, Component]
    tokenizers: dict[str, TokenizerFiles]
    scheduler: Path
    process: SchedulerConfig | FlowConfig
    notes: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> TextPipeline:
        """Read and check what is in a folder; `InputError` has a sentence for every file and key that is wrong."""
        home, faults, notes = _home(folder), list[str](), list[str]()
        if home != folder:
            notes.append(f"{home.name} is the one snapshot in {folder}")
        index = read_object(home / INDEX, home, faults) or {}
        if faults or (kind := kind_of(home / INDEX, index, faults)) is None:
            raise InputError(*faults)
        notes += [f"{name}: there is none, and its tokens are zeros" for name in kind.absent if "encoder" in name]
        parts = {name: read_component(home / name, of, home, faults, notes) for name, of in kind.parts.items()}
        tokenizers = {name: read_tokenizer(home / name, home, of, faults) for name, of in kind.tokenizers.items()}
        scheduler = home / "scheduler" / SCHEDULER
        found = read_object(scheduler, home, faults)
        read = read_flow if kind.flow else read_scheduler
        process = read(scheduler, found, faults) if found is not None else None
        known = {name: part for name, part in parts.items() if part is not None}
        spelled = {name: files for name, files in tokenizers.items() if files is not None}
        if not faults:
            _check_together(home, kind, known, spelled, faults)
        if faults or process is None:
            more = len(faults) - MOST
            raise InputError(*faults[:MOST], *([f"{folder} has {more} more faults"] if more > 0 else []))
        return cls(folder, kind, index, known, spelled, scheduler, process, tuple(notes))

    @property
    def denoiser(self) -> Component:
        """The network that predicts the noise."""
        return self.parts[self.kind.denoiser]

    @property
    def factor(self) -> int:
        """How many pixels a side stand for one latent position."""
        return int(self.parts["vae"].settings.factor)

    @property
    def channels(self) -> int:
        """The colours of an image."""
        return int(self.parts["vae"].settings.in_channels)

    @property
    def grid(self) -> tuple[int, int]:
        """The channels of a latent, and how many pixels a side stand for one of its positions."""
        return int(self.parts["vae"].settings.latent_channels), self.factor

    def encoder_of(self, tokenizer: str) -> str:
        """The text encoder that a tokenizer is for."""
        return tokenizer.replace("tokenizer", "text_encoder")

    @property
    def size(self) -> tuple[int, int] | None:
        """The height and width of the images that the pipeline is made for, in pixels; None if its config says none."""
        side = self.denoiser.settings.sample_size
        sides = (side, side) if isinstance(side, int) else side
        return sides and (sides[0] * self.factor, sides[1] * self.factor)

    def length(self, encoder: str) -> int:
        """The tokens of a caption, with begin and end, that a text encoder takes."""
        files = self.tokenizers[encoder.replace("text_encoder", "tokenizer")]
        most = getattr(self.parts[encoder].settings, "max_position_embeddings", None)
        return min(value for value in (files.longest, most, self.kind.most.get(encoder)) if value is not None)

    def files(self) -> Iterator[tuple[str, Path]]:
        """All files that define the model, by their places in a pipeline folder."""
        for name, part in self.parts.items():
            yield f"{name}/config.json", part.path
            yield from ((f"{name}/{file}", path) for file, path in part.weights.files.items())
        for name, tokenizer in self.tokenizers.items():
            yield from ((f"{name}/{file}", path) for file, path in tokenizer.files.items())
        yield f"scheduler/{SCHEDULER}", self.scheduler

    def checksum(self) -> str:
        """The SHA-256, in hexadecimal, of the files that define the model, wherever they lie."""
        digest = hashlib.sha256(repr(sorted(self.settings().items())).encode())
        for name, path in sorted(self.files()):
            with path.open("rb") as file:
                digest.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return digest.hexdigest()

    def settings(self) -> dict[str, Any]:
        """What model_index.json states of the parts that are read."""
        kept = {
            *self.kind.parts,
            *self.kind.tokenizers,
            *self.kind.absent,
            "_class_name",
            "scheduler",
            "force_zeros_for_empty_prompt",
        }
        return {key: value for key, value in self.index.items() if key in kept}

    def copy(self, folder: Path) -> None:
        """Write the files that define the model, and no others, as a pipeline folder."""
        folder.mkdir(parents=True)
        for name, path in self.files():
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(path, folder / name)
        for name, part in self.parts.items():
            _write_index(folder / name, part)
        (folder / INDEX).write_text(json.dumps(self.settings(), indent=2))


def kind_of(path: Path, index: dict[str, Any], faults: list[str]) -> PipelineKind | None:
    """The pipeline that a model_index.json names; None with a sentence in `faults` if it is not read."""
    named = index.get("_class_name")
    kind = KINDS.get(named) if isinstance(named, str) else None
    if kind is None:
        refiner = "; SDXL's refiner changes finished images and is not attacked" if named == REFINER else ""
        faults.append(
            f"{path}: _class_name is {shown(named)}; it must be {one_of(KINDS)}; no other code is run{refiner}"
        )
        return None
    if kind.optional is not None and index.get(kind.optional) == [None, None]:
        kind = kind.without(kind.optional)
    before = len(faults)
    for name, part in kind.parts.items():
        _check_entry(path, index, name, (part.library,), (part.name,), faults)
    for name, tokens in kind.tokenizers.items():
        _check_entry(
            path, index, name, ("transformers",), (tokens, f"{tokens}Fast", tokens.removesuffix("Fast")), faults
        )
    known = {*kind.parts, *kind.tokenizers, *kind.absent, *NOT_READ, "scheduler"}
    for key in index:
        if key not in known and not key.startswith("_"):
            faults.append(f"{path} has the key {shown(key)}, which a {kind.name} does not have")
    return kind if len(faults) == before else None


def is_text_pipeline(folder: Path) -> bool:
    """Whether a folder is to be read as a text-to-image pipeline: its model_index.json has a text encoder."""
    return "text_encoder" in _index(folder) or kind_at(folder) in KINDS


def kind_at(folder: Path) -> str:
    """The pipeline class that a folder's model_index.json states; "" without one."""
    return str(_index(folder).get("_class_name", ""))


def _index(folder: Path) -> dict[str, Any]:
    """What a folder's model_index.json states; empty if it cannot be read, which is said where it is needed."""
    try:
        path = _home(folder) / INDEX
    except InputError:
        return {}
    return read_object(path, path.parent, []) or {} if path.is_file() else {}


def _home(folder: Path) -> Path:
    """The folder, or the one snapshot in it; `InputError` if it is no pipeline folder."""
    require_folder(folder, INDEX)
    return snapshot(folder)


def _check_entry(
    path: Path,
    index: dict[str, Any],
    name: str,
    libraries: tuple[str, ...],
    classes: tuple[str, ...],
    faults: list[str],
) -> None:
    entry = index.get(name)
    if not (isinstance(entry, list) and len(entry) == 2 and entry[0] in libraries and entry[1] in classes):
        faults.append(
            f"{path}: {name} is {shown(entry)}; it must be [{libraries[0]!r}, {classes[0]!r}]; no other code is run"
        )


def _check_together(
    home: Path,
    kind: PipelineKind,
    parts: dict[str, Component],
    tokenizers: dict[str, TokenizerFiles],
    faults: list[str],
) -> None:
    """Check that the parts of a pipeline fit each other."""
    vae, denoiser = parts["vae"].settings, parts[kind.denoiser].settings
    if denoiser.latent_channels != vae.latent_channels:
        more = " (9 are those of inpainting)" if denoiser.in_channels == 9 else ""
        faults.append(
            f"{parts[kind.denoiser].path}: in_channels is {denoiser.in_channels}{more}, but the autoencoder has "
            f"{vae.latent_channels} latent channels; only networks that take a latent and nothing else are read"
        )
    for key, (found, wanted) in kind.widths({name: part.settings for name, part in parts.items()}).items():
        if found != wanted:
            faults.append(
                f"{parts[kind.denoiser].path}: {key} is {found}, and the text encoders give {wanted}; only the "
                f"networks of a {kind.name} are read"
            )
    for name, files in tokenizers.items():
        encoder = parts[name.replace("tokenizer", "text_encoder")]
        rows = encoder.settings.vocab_size
        if not files.count <= rows <= files.count + _SPARE:
            faults.append(
                f"{files.folder} has {files.count:,} tokens and the text encoder in {encoder.path.parent} {rows:,}; it "
                "is a stub, or that of another model"
            )


def _write_index(folder: Path, part: Component) -> None:
    """The index of the shards of a network, if it has several files, or one under another name."""
    names = list(part.weights.files)
    whole = part.kind.form.whole
    if names == [whole]:
        return
    mapped: dict[str, str] = {}
    for name in names:
        with safe_open(folder / name, framework="numpy") as file:
            mapped |= dict.fromkeys(file.keys(), name)
    (folder / f"{whole}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": mapped}))
