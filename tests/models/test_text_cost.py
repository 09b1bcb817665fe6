"""The cost of the real models follows from their published configs; their sizes are known."""

from __future__ import annotations

from typing import Any

import pytest

from leakfront.models.external.text.cost import cost_of
from leakfront.models.external.text.denoiser_configs import FluxConfig, SD3Config, TextUNetConfig
from leakfront.models.external.text.kinds import KINDS
from leakfront.models.external.text.other_configs import AutoencoderConfig, ClipConfig, T5Config

VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "sample_size": 512,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
}  # fmt: skip
CLIP_L = ClipConfig(hidden_size=768, intermediate_size=3072, projection_dim=768, num_attention_heads=12)
CLIP_G = ClipConfig(
    hidden_size=1280, intermediate_size=5120, projection_dim=1280, num_attention_heads=20, num_hidden_layers=32,
    hidden_act="gelu",
)  # fmt: skip
T5_XXL = T5Config(d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, feed_forward_proj="gated-gelu")
SD1 = TextUNetConfig(sample_size=64, cross_attention_dim=768)
XL = TextUNetConfig(
    sample_size=128, cross_attention_dim=2048, block_out_channels=(320, 640, 1280), attention_head_dim=(5, 10, 20),
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), use_linear_projection=True,
    transformer_layers_per_block=(1, 2, 10), addition_embed_type="text_time", addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)  # fmt: skip


@pytest.mark.slow
def test_stable_diffusion_1() -> None:
    parts = {"unet": SD1, "vae": AutoencoderConfig(**VAE), "text_encoder": CLIP_L}
    found = cost_of(KINDS["StableDiffusionPipeline"], parts, (3, 512, 512), (77,))
    assert found.weights == {"unet": 859_520_964, "vae": 83_653_863, "text_encoder": 123_060_480}
    assert found.call == pytest.approx(0.8e12, rel=0.15)  # about 0.4 T multiplications and additions
    assert found.decode > found.encode > found.call


@pytest.mark.slow
def test_stable_diffusion_xl() -> None:
    parts = {"unet": XL, "vae": AutoencoderConfig(**VAE, scaling_factor=0.13025), "text_encoder": CLIP_L,
             "text_encoder_2": CLIP_G}  # fmt: skip
    found = cost_of(KINDS["StableDiffusionXLPipeline"], parts, (3, 1024, 1024), (77, 77))
    assert found.weights["unet"] == 2_567_463_684
    assert found.weights["text_encoder_2"] == 694_659_840
    assert found.call == pytest.approx(6.0e12, rel=0.15)


@pytest.mark.slow
def test_stable_diffusion_3_and_flux() -> None:
    sixteen = AutoencoderConfig(**VAE, latent_channels=16, scaling_factor=1.5305, shift_factor=0.0609,
                                use_quant_conv=False, use_post_quant_conv=False)  # fmt: skip
    sd3 = SD3Config(num_layers=24, num_attention_heads=24, caption_projection_dim=1536, pos_embed_max_size=192)
    parts = {"transformer": sd3, "vae": sixteen, "text_encoder": CLIP_L, "text_encoder_2": CLIP_G,
             "text_encoder_3": T5_XXL}  # fmt: skip
    kind = KINDS["StableDiffusion3Pipeline"]
    found = cost_of(kind, parts, (3, 1024, 1024), (77, 77, 256))
    assert found.weights["transformer"] == pytest.approx(2.03e9, rel=0.03)
    assert found.weights["text_encoder_3"] == pytest.approx(4.76e9, rel=0.01)
    assert all(found == wanted for found, wanted in kind.widths(parts).values())
    flux = {"transformer": FluxConfig(guidance_embeds=True), "vae": sixteen, "text_encoder": CLIP_L,
            "text_encoder_2": T5_XXL}  # fmt: skip
    found = cost_of(KINDS["FluxPipeline"], flux, (3, 1024, 1024), (77, 512))
    assert found.weights["transformer"] == pytest.approx(11.9e9, rel=0.01)
