"""The pipelines that are read: their parts, and how these make a noise prediction."""

from __future__ import annotations

from dataclasses import dataclass

from leakfront.models.external.text.components import CLIP, UNET, VAE, Kind

CLIP_TOKENS = "CLIPTokenizer"
# parts of pipelines that are never opened: they look at finished images, or take other inputs than captions
NOT_READ = frozenset({
    "add_watermarker", "feature_extractor", "force_zeros_for_empty_prompt", "image_encoder",
    "requires_aesthetics_score", "requires_safety_checker", "safety_checker",
})  # fmt: skip


@dataclass(frozen=True)
class PipelineKind:
    """A pipeline class of diffusers.

    name: the class. title: what it is called in sentences. denoiser: the part that predicts. parts: the networks by the
    names of their folders. tokenizers: by the names of their folders, the class of transformers. network: the class in
    `networks` or `transformers` here that makes one network of them.
    """

    name: str
    title: str
    denoiser: str
    parts: dict[str, Kind]
    tokenizers: dict[str, str]
    network: str

    @property
    def encoders(self) -> list[str]:
        """The names of the text encoders, in the order of the tokenizers."""
        return [name.replace("tokenizer", "text_encoder") for name in self.tokenizers]


KINDS = {
    kind.name: kind
    for kind in (
        PipelineKind(
            "StableDiffusionPipeline", "Stable Diffusion 1 or 2", "unet",
            {"unet": UNET, "vae": VAE, "text_encoder": CLIP}, {"tokenizer": CLIP_TOKENS}, "StableDiffusion",
        ),
    )
}  # fmt: skip
