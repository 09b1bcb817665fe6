"""The file of a LoRA from any source, and the layers of a pipeline that its adapters belong to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leakfront.errors import InputError
from leakfront.memory import memory
from leakfront.models.external.places import POINTER, is_pointer
from leakfront.models.external.text.stability_names import in_diffusers_names

if TYPE_CHECKING:
    from leakfront.models.adapters.layers import Adapter

TEXT_MODEL = "text_model."  # before the layers of a CLIPTextModel in all versions of transformers but the newest
# kohya's scripts: what a key begins with, and the parts of a pipeline that it may stand for
KOHYA = {
    "lora_unet_": ("unet", "transformer"), "lora_transformer_": ("transformer",), "lora_te_": ("text_encoder",),
    "lora_te1_": ("text_encoder",), "lora_te2_": ("text_encoder_2",),
}  # fmt: skip
KOHYA_PARTS = {"lora_down.weight": "A", "lora_up.weight": "B", "alpha": "alpha"}


@dataclass(frozen=True)
class LoraFile:
    """A safetensors file of low-rank adapters: diffusers' pytorch_lora_weights.safetensors, or one of kohya's scripts.

    Raises `InputError` if it is none, or larger than a quarter of the memory.
    """

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_file():
            state = "is a folder; give the file in it" if self.path.is_dir() else "does not exist"
            raise InputError(f"the LoRA {self.path} {state}, such as pytorch_lora_weights.safetensors")
        if self.path.suffix != ".safetensors":
            raise InputError(f"the LoRA {self.path} must be a safetensors file, since other formats can run code")
        if is_pointer(self.path):
            raise InputError(f"{self.path} {POINTER}")
        if self.path.stat().st_size > memory() // 4:
            raise InputError(f"{self.path} is larger than a quarter of the memory that this process may use")

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of the file, in hexadecimal."""
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def adapters(self, networks: Mapping[str, Any]) -> dict[str, dict[str, Adapter]]:
        """The adapters by part of the pipeline and by layer; every one fits its layer.

        networks: the parts that can have adapters, by name; they need no memory. Raises `InputError` if a key is of no
        known form, or fits no layer.
        """
        from leakfront.models.adapters.file import read_adapters
        from leakfront.models.adapters.layers import check_fit

        found: dict[str, dict[str, Adapter]] = {}
        for name, adapter in read_adapters(self.path, self._kohya(networks)).items():
            part, _, layer = name.partition(".")
            if part not in networks:
                raise InputError(
                    f"{self.path} has adapters of {part}, which this pipeline does not have; it is for another model"
                )
            layers = dict(networks[part].named_modules())
            layer = next((one for one in (layer, f"{TEXT_MODEL}{layer}", layer.removeprefix(TEXT_MODEL))
                          if one in layers), layer)  # fmt: skip
            try:
                check_fit(networks[part], layer, adapter)
            except InputError as error:
                raise InputError(f"{self.path} is for another model: {error} (in {part})") from None
            found.setdefault(part, {})[layer] = adapter
        return found

    def _kohya(self, networks: Mapping[str, Any]) -> Callable[[str], tuple[str, str] | None]:
        """A function from a key of kohya's scripts to its layer and its factor; None for other keys.

        Such keys have an underscore in place of every dot, so they are looked up among the network's layers. Those of a
        UNet may have the names of the code of Stable Diffusion's authors.
        """
        flat = {
            part: {name.removeprefix(TEXT_MODEL).replace(".", "_"): name for name, _ in network.named_modules()}
            for part, network in networks.items()
        }

        def place(key: str) -> tuple[str, str] | None:
            prefix = next((prefix for prefix in KOHYA if key.startswith(prefix)), None)
            name, _, factor = key.partition(".")
            if prefix is None or factor not in KOHYA_PARTS:
                return None
            rest = name.removeprefix(prefix).removeprefix(TEXT_MODEL.replace(".", "_"))
            for part in KOHYA[prefix]:
                known = part == "unet" and part in networks
                named = in_diffusers_names(rest, networks[part].config.layers_per_block) if known else rest
                if layer := flat.get(part, {}).get(named):
                    return f"{part}.{layer}", KOHYA_PARTS[factor]
            raise InputError(f"{self.path} is for another model: its {key!r} fits no layer of this pipeline")

        return place
