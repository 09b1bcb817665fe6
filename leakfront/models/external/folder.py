"""A diffusers pipeline folder from any source, read safely: it cannot run code, lead out of the folder or fill memory.

Only safetensors and JSON files are read. Every setting is checked against the values that `UNet2DModel` and a forward
process accept, and the names and shapes of the weights against those of the network, before memory is allocated.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from leakfront.errors import InputError
from leakfront.models.external.documents import one_line, one_of, read_object, shown
from leakfront.models.external.places import find, leads_inside
from leakfront.models.external.scheduler_config import SCHEDULERS, SchedulerConfig, read_scheduler
from leakfront.models.external.unet_config import UNetConfig, read_unet
from leakfront.models.external.weights import Weights, differing, read_weights

PIPELINES = ("DDPMPipeline", "DDIMPipeline", "PNDMPipeline")
MOST = 20  # faults that are named


@dataclass(frozen=True)
class ExternalPipeline:
    """A model folder whose settings were read and checked; of its weights only the headers.

    unet: the settings of the network, in `config`. process: those of the forward process, in `scheduler`. notes: lines
    on what was chosen where the folder can be read in several ways.
    """

    folder: Path
    config: Path
    scheduler: Path
    unet: UNetConfig
    process: SchedulerConfig
    weights: Weights
    notes: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path) -> ExternalPipeline:
        """Read and check what is in a folder; `InputError` has a sentence for every file and key that is wrong."""
        faults: list[str] = []
        places = find(folder, faults)
        notes = list(places.notes)
        if places.index is not None and (index := read_object(places.index, places.home, faults)) is not None:
            _check_index(places.index, index, faults)
        unet, weights, process = None, None, None
        if places.config is not None and (settings := read_object(places.config, places.home, faults)) is not None:
            unet = read_unet(places.config, settings, faults)
        if (
            places.config is not None
            and places.config.parent.is_dir()
            and leads_inside(places.config.parent, places.home)
        ):
            weights = read_weights(places.config.parent, places.home, faults, notes)
        where = places.scheduler_home
        if places.scheduler is not None and (settings := read_object(places.scheduler, where, faults)) is not None:
            process = read_scheduler(places.scheduler, settings, faults)
        if faults or not (places.config and places.scheduler and unet and weights and process):
            more = len(faults) - MOST  # what is missing has a sentence
            raise InputError(*faults[:MOST], *([f"{folder} has {more} more faults"] if more > 0 else []))
        if unet.learned_variance:
            notes.append("the network predicts a variance too, in the second half of its channels, which is left out")
        return cls(folder, places.config, places.scheduler, unet, process, weights, tuple(notes))

    def image_shape(self, images: tuple[int, int, int] | None = None) -> tuple[int, int, int]:
        """(C, H, W) of the network; H and W of `images` if the network takes any size."""
        size = self.unet.sample_size
        if size is None:
            if images is None:
                raise InputError(f"{self.config}: sample_size is null, so the size of the images must be given")
            return self.unet.in_channels, *images[1:]
        return self.unet.in_channels, *((size, size) if isinstance(size, int) else size)

    @property
    def embeddings(self) -> int:
        """The number of class embeddings, 0 for an unconditional network."""
        return self.unet.num_class_embeds or 0

    def checksum(self) -> str:
        """The SHA-256, in hexadecimal, of the files that define the model, wherever they lie."""
        digest = hashlib.sha256()
        weights = {f"unet/{name}": path for name, path in self.weights.files.items()}
        files = {"unet/config.json": self.config, "scheduler/scheduler_config.json": self.scheduler, **weights}
        for name, path in files.items():
            with path.open("rb") as file:
                digest.update(f"{name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
        return digest.hexdigest()

    def network(self, image_shape: tuple[int, int, int]) -> Any:
        """A `UNet2DModel` with these settings, without memory for its weights (on the device "meta").

        image_shape: (C, H, W), that of the network. Raises `InputError` if diffusers cannot build the network, or if
        the weights are not exactly its tensors.
        """
        import torch
        from diffusers import UNet2DModel

        try:
            with torch.device("meta"):
                network = UNet2DModel(**{**asdict(self.unet), "sample_size": image_shape[1:]})
        except Exception as error:  # diffusers can raise any error on settings that do not fit together
            raise InputError(f"{self.config} cannot be built as a UNet2DModel: {one_line(error)}") from error
        expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
        if fault := differing(self.weights.shapes, expected):
            raise InputError(f"{self._weights_file} does not fit {self.config.name}: {fault}")
        return network

    @property
    def _weights_file(self) -> Path:
        return next(iter(self.weights.files.values()))


def _check_index(path: Path, index: dict[str, Any], faults: list[str]) -> None:
    """Check that a model_index.json names a pipeline of a UNet2DModel and a known scheduler, and nothing else."""
    if (named := index.get("_class_name")) not in PIPELINES:
        faults.append(f"{path}: _class_name is {shown(named)}; it must be {one_of(PIPELINES)}; no other code is run")
    right = {"unet": ("UNet2DModel",), "scheduler": tuple(SCHEDULERS)}
    for key, value in index.items():
        if key.startswith("_"):
            continue
        if key not in right:
            faults.append(f"{path} has the key {shown(key)}, which a pipeline of a UNet2DModel does not have")
        elif not (isinstance(value, list) and len(value) == 2 and value[0] == "diffusers" and value[1] in right[key]):
            faults.append(f"{path}: {key} is {shown(value)}; it must be of diffusers, {one_of(right[key])}")
