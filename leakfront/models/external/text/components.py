"""The networks of a text-to-image pipeline: each with its settings, checked before memory is allocated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError
from leakfront.models.external.documents import one_line, read_object, read_section, shown
from leakfront.models.external.places import leads_inside
from leakfront.models.external.text.denoiser_configs import FluxConfig, SD3Config, TextUNetConfig
from leakfront.models.external.text.other_configs import GENERAL, AutoencoderConfig, ClipConfig, T5Config
from leakfront.models.external.unet_config import EMA
from leakfront.models.external.weights import DIFFUSERS, Form, Weights, differing, read_weights

if TYPE_CHECKING:
    import torch

TEXT_MODEL = "text_model."  # before every name of a CLIPTextModel, in all versions of transformers but the newest
TIED = "encoder.embed_tokens.weight"  # which T5 ties to shared.weight
TRANSFORMERS = Form("model", lambda name: name.removeprefix(TEXT_MODEL), left_out=("position_ids", TIED))
NO_LIMIT = 2**62  # of one network's weights; all of a pipeline are counted together


@dataclass(frozen=True)
class Kind:
    """A class of network that is read.

    library and name: of the class, as model_index.json states them. config: the dataclass of its settings. make: the
    class of the library. ignored: keys of its config.json that change nothing.
    """

    library: str
    name: str
    config: type[Any]
    make: Callable[[dict[str, Any]], Any]
    ignored: frozenset[str] = frozenset()

    @property
    def form(self) -> Form:
        """How the library writes its weights."""
        return DIFFUSERS if self.library == "diffusers" else TRANSFORMERS


def _of_diffusers(name: str) -> Callable[[dict[str, Any]], Any]:
    def make(settings: dict[str, Any]) -> Any:
        import diffusers

        return getattr(diffusers, name)(**settings)

    return make


def _clip(name: str) -> Callable[[dict[str, Any]], Any]:
    def make(settings: dict[str, Any]) -> Any:
        import transformers

        known = {key: value for key, value in settings.items() if key not in ("model_type", "dropout")}
        tokens = {"bos_token_id": known["eos_token_id"], "pad_token_id": known["eos_token_id"]}
        return getattr(transformers, name)(transformers.CLIPTextConfig(**known, **tokens))

    return make


def _t5(settings: dict[str, Any]) -> Any:
    import transformers

    known = {key: value for key, value in settings.items() if key != "model_type"}
    return transformers.T5EncoderModel(transformers.T5Config(**known, use_cache=False, pad_token_id=0))


UNET = Kind("diffusers", "UNet2DConditionModel", TextUNetConfig, _of_diffusers("UNet2DConditionModel"), EMA)
SD3 = Kind("diffusers", "SD3Transformer2DModel", SD3Config, _of_diffusers("SD3Transformer2DModel"), EMA)
FLUX = Kind("diffusers", "FluxTransformer2DModel", FluxConfig, _of_diffusers("FluxTransformer2DModel"), EMA)
VAE = Kind("diffusers", "AutoencoderKL", AutoencoderConfig, _of_diffusers("AutoencoderKL"))
CLIP = Kind("transformers", "CLIPTextModel", ClipConfig, _clip("CLIPTextModel"), GENERAL)
CLIP_PROJECTED = Kind(
    "transformers", "CLIPTextModelWithProjection", ClipConfig, _clip("CLIPTextModelWithProjection"), GENERAL
)
T5 = Kind("transformers", "T5EncoderModel", T5Config, _t5, GENERAL)


@dataclass(frozen=True)
class Component:
    """A network of a pipeline, whose settings were read and checked; of its weights only the headers.

    path: its config.json. settings: an instance of `kind.config`.
    """

    kind: Kind
    path: Path
    settings: Any
    weights: Weights

    @property
    def count(self) -> int:
        """The number of weights."""
        return sum(prod(shape) for shape in self.weights.shapes.values())

    def network(self) -> Any:
        """The network without memory for its weights; `InputError` unless the weights are exactly its tensors."""
        network = empty(self.kind, self.settings, self.path)
        held = network.state_dict()
        expected = {own: tuple(held[name].shape) for own, name in _names(self.kind, network).items()}
        if fault := differing(self.weights.shapes, expected):
            raise InputError(f"{next(iter(self.weights.files.values()))} does not fit {self.path}: {fault}")
        return network

    def load(self, dtype: torch.dtype) -> Any:
        """The network with its weights in `dtype`, in evaluation mode and without gradients."""
        import torch

        network = self.network()
        tensors, names = self.weights.load(dtype), _names(self.kind, network)
        network.load_state_dict({names[own]: tensor for own, tensor in tensors.items()}, strict=False, assign=True)
        if hasattr(network, "tie_weights"):
            network.tie_weights()
        for name, buffer in list(network.named_buffers()):
            if buffer.is_meta:  # the only one that no file holds: the positions of tokens
                owner, _, last = name.rpartition(".")
                assert last == "position_ids", name
                setattr(network.get_submodule(owner), last, torch.arange(buffer.shape[-1]).expand(1, -1))
        network.eval().requires_grad_(False)
        return network


def empty(kind: Kind, settings: Any, path: Path) -> Any:
    """A network of these settings without memory for its weights; `InputError` if the library cannot build it."""
    import torch

    from leakfront.models.text.model import silent

    try:
        with silent(), torch.device("meta"):
            return kind.make(asdict(settings))
    except Exception as error:  # the libraries can raise any error on settings that do not fit together
        raise InputError(f"{path} cannot be built as a {kind.name}: {one_line(error)}") from error


def read_component(folder: Path, kind: Kind, home: Path, faults: list[str], notes: list[str]) -> Component | None:
    """The network in a folder; None with a sentence in `faults` for each thing that is wrong."""
    if not leads_inside(folder, home):
        faults.append(f"{folder} is a link that leads out of the folder, which is not followed; copy the folder")
        return None
    path, before = folder / "config.json", len(faults)
    if (found := read_object(path, home, faults)) is None:
        return None
    stated = found.get("_class_name") if kind.library == "diffusers" else _architecture(found)
    if stated != kind.name:
        faults.append(f"{path} is that of a {shown(stated)}; it must be a {kind.name}; no other code is run")
        return None
    what = f"a {kind.name} does not have, or which is not read"
    settings = read_section(kind.config, path, found, kind.ignored, what, faults)
    chosen: list[str] = []
    weights = read_weights(folder, home, faults, chosen, kind.form, NO_LIMIT)
    if chosen and weights is not None:
        notes.append(f"{folder.name}: its weights are those of {', '.join(weights.files)}")
    return Component(kind, path, settings, weights) if weights is not None and len(faults) == before else None


def _architecture(found: dict[str, Any]) -> Any:
    """The class that a config of transformers states."""
    stated = found.get("architectures")
    return stated[0] if isinstance(stated, list) and len(stated) == 1 else stated


def _names(kind: Kind, network: Any) -> dict[str, str]:
    """The names of the network's tensors by those in its files."""
    return {kind.form.renamed(name): name for name in network.state_dict() if kind.form.is_weight(name)}
