"""What `leakfront attack` sets for a text-to-image model, unless the user does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from leakfront.attacks import registry
from leakfront.datasets.captions.of_files import has_captions
from leakfront.datasets.members_decoys import MembersDecoys
from leakfront.harness.settings.sections import Config
from leakfront.models.external.text.folder import TextPipeline, kind_at
from leakfront.models.text_pipeline import adapted_name
from leakfront.registry import build

FLUX = "Flux"  # whose guidance is distilled
FLOW_TIMESTEPS = [300, 400, 500, 600, 700]  # membership shows most in the middle of a flow (arXiv 2603.13421)
GUIDANCE = 7.5  # the default of diffusers' StableDiffusionPipeline
SAMPLES = 256
KEEP_GENERATIONS = 2**31  # bytes of generated images; of more only those stay that decide
PIXELS = 2**21  # of a batch: 8 images of 512x512
OPTIONS = {  # of the command: the keys of the config that they set
    "captions": "data.params.captions_file", "guidance": "sampling.guidance", "dtype": "model.dtype",
    "offload": "model.offload", "lora": "model.lora", "base": "model.base",
    "prompts": "attacks.generate_by_prompt.once", "generations": "attacks.generate_by_prompt.samples_per_prompt",
}  # fmt: skip


def as_overrides(pipeline: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """The command's options as overrides ("key=value"); those that are None or False are left out.

    A run of a LoRA is named after it too. The guidance of a Flux network is an input of it. Of fewer captions than
    there are those go first that the model itself picks out, unless it knows no empty caption to compare with.
    """
    given = {OPTIONS[name]: value for name, value in options.items() if value is not None and value is not False}
    distilled = kind_at(Path(pipeline)) == "FluxPipeline"
    if OPTIONS["guidance"] in given and distilled:
        given["model.distilled_guidance"] = given.pop(OPTIONS["guidance"])
    if OPTIONS["prompts"] in given and not distilled:
        given["attacks.generate_by_prompt.order"] = "alignment"
    if (lora := options.get("lora")) is not None:
        named = adapted_name(pipeline, lora)
        given |= {"name": f"attack-{named}", "title": f"Attacks on an external model: {named}"}
    return tuple(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in given.items())


def with_room(config: Config) -> Config:
    """The same config; where images asked for by caption would take more than 2 GiB, their tightest cliques alone stay.

    A config that says what is kept, or whose model is no text pipeline, stays as it is.
    """
    asked = config.attacks.get("generate_by_prompt")
    if config.model.get("name") != "text_pipeline" or asked is None or "keep" in asked:
        return config
    attack = build(registry, "generate_by_prompt", asked, "attacks.generate_by_prompt")
    size = TextPipeline.read(Path(config.model["path"]).expanduser()).size or (1024, 1024)
    if isinstance(side := config.data.params.get("size"), int):
        size = (side, side)
    if attack.generation.kept(config.data.pool) * 3 * size[0] * size[1] <= KEEP_GENERATIONS:
        return config
    attacks = config.attacks | {"generate_by_prompt": {**asked, "keep": "cliques"}}
    return config.model_copy(update={"attacks": attacks})


def text_settings(pipeline: str, dataset: MembersDecoys, captions_given: bool, has_base: bool) -> dict[str, Any]:
    """The settings, by section, for the text-to-image pipeline in a folder; `data` has only the data set's parameters.

    Captions are read if the folders have any and none are given otherwise. Attacks that compare captions are added to
    the suite where there are captions, and the one that compares with a base where there is one. Batches are small
    enough for images of the size that the pipeline is made for. Raises `InputError` if the folder cannot be read.
    """
    source = TextPipeline.read(Path(pipeline).expanduser())
    height, width = source.size or (1024, 1024)
    batch = max(PIXELS // (height * width), 1)
    found = not captions_given and any(
        has_captions(folder.listing.root, folder.listing.files) for folder in dataset.folders.values()
    )
    sampling: dict[str, Any] = {"images": SAMPLES, "batch_size": min(batch, 256)}
    if (found or captions_given) and source.kind.network != FLUX:
        sampling["guidance"] = GUIDANCE
    asked: dict[str, Any] = {"clid": {}, "prompt_alignment": {}} if found or captions_given else {}
    asked |= {"base_ratio": {}} if has_base else {}
    asked |= {"loss": {"timesteps": FLOW_TIMESTEPS}} if source.kind.flow else {}
    return {
        "attacks": asked,
        "model": {"name": "text_pipeline", "path": pipeline},
        "sampling": sampling,
        "probe": {"batch_size": min(batch, 256), "gradient_batch_size": 1},
        "data": {"captions": True} if found else {},
    }
