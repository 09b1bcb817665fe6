"""Text encoders and a denoiser as one network, for each kind of pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import nn

WITHOUT_T5 = 256  # rows of zeros in place of T5's, diffusers' max_sequence_length


class TextNetwork(nn.Module):
    """What a pipeline makes of latents, timesteps and captions; called as diffusers' UNets are.

    A condition is the token ids int64 [N, L1 + L2 + …] of all its tokenizers, one after the other. An embedding is one
    tensor float32 [N, L, d]; where a network also takes a pooled embedding, this is its last row, padded with zeros.

    denoiser: the network that predicts. encoders: the text encoders. lengths: the tokens of each. apart: the text
    encoders do not move with the network to another device.

    What some networks know in addition: factor, how many pixels a side stand for one latent position; zero, the
    condition int64 [L] that is embedded as zeros; distilled, the scale of distilled guidance.
    """

    knows_null: ClassVar[bool] = True  # whether it was trained with empty captions, for guidance
    encoders: nn.ModuleList
    factor: int = 8
    zero: torch.Tensor | None = None
    distilled: float = 3.5

    def __init__(self, denoiser: Any, encoders: Sequence[Any], lengths: Sequence[int], apart: bool = False) -> None:
        super().__init__()
        self.denoiser, self.lengths = denoiser, tuple(lengths)
        if apart:
            object.__setattr__(self, "encoders", nn.ModuleList(encoders))  # no sub-module
        else:
            self.encoders = nn.ModuleList(encoders)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """The embedding float32 [N, L, d] of token ids int64 [N, L1 + L2 + …]."""
        raise NotImplementedError

    def predict(self, x_t: torch.Tensor, timesteps: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """What the denoiser outputs [N, C, H, W] for noised latents of that shape."""
        raise NotImplementedError

    def forward(
        self, x_t: torch.Tensor, timesteps: torch.Tensor, condition: torch.Tensor, return_dict: bool = False
    ) -> tuple[torch.Tensor]:
        """The output, float32; computed in the precision of the denoiser's weights. Always a tuple."""
        embedding = condition if condition.is_floating_point() else self.embed(condition)
        dtype = self.denoiser.dtype
        return (self.predict(x_t.to(dtype), timesteps, embedding.to(dtype)).float(),)


class StableDiffusion(TextNetwork):
    """Stable Diffusion 1 and 2: the encoder's last hidden state goes to the UNet's cross-attention."""

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.encoders[0](input_ids=tokens, return_dict=True).last_hidden_state
        return hidden.float()

    def predict(self, x_t: torch.Tensor, timesteps: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.denoiser(x_t, timesteps, encoder_hidden_states=embedding, return_dict=False)[0]
        return output


def pooled_last(embedding: torch.Tensor, pooled: torch.Tensor) -> torch.Tensor:
    """An embedding [N, L, d] with a pooled one [N, p], p <= d, as one more row."""
    row = torch.nn.functional.pad(pooled, (0, embedding.shape[-1] - pooled.shape[-1]))
    return torch.cat([embedding, row[:, None]], dim=1)


def hidden_and_pooled(encoder: Any, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The last but one hidden state [N, L, d] of a CLIP text encoder, and its projected embedding [N, p] if it has one.

    Without a projection the second is the embedding of the end of the caption.
    """
    found = encoder(input_ids=tokens, output_hidden_states=True, return_dict=True)
    pooled = found.text_embeds if hasattr(found, "text_embeds") else found.pooler_output
    return found.hidden_states[-2], pooled


class StableDiffusionXL(TextNetwork):
    """Stable Diffusion XL (Podell et al. 2023, arXiv 2307.01952): two encoders, a pooled embedding and six time ids.

    The time ids are constants of the model: the size of the image before and after cropping is its own, and nothing is
    cropped. An empty caption is embedded as zeros if the pipeline says so (`force_zeros_for_empty_prompt`).
    """

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        first, second = torch.split(tokens, list(self.lengths), dim=1)
        one, _ = hidden_and_pooled(self.encoders[0], first)
        two, pooled = hidden_and_pooled(self.encoders[1], second)
        embedding = pooled_last(torch.cat([one, two], dim=-1), pooled).float()
        if self.zero is None:
            return embedding
        empty = (tokens == self.zero.to(tokens.device)).all(1)
        return torch.where(empty[:, None, None], torch.zeros_like(embedding), embedding)

    def predict(self, x_t: torch.Tensor, timesteps: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        height, width = (side * self.factor for side in x_t.shape[-2:])
        ids = x_t.new_tensor([height, width, 0, 0, height, width]).expand(len(x_t), -1)
        pooled = embedding[:, -1, : self.denoiser.config.projection_class_embeddings_input_dim - self._time_width]
        output: torch.Tensor = self.denoiser(
            x_t, timesteps, encoder_hidden_states=embedding[:, :-1], return_dict=False,
            added_cond_kwargs={"text_embeds": pooled, "time_ids": ids},
        )[0]  # fmt: skip
        return output

    @property
    def _time_width(self) -> int:
        return 6 * int(self.denoiser.config.addition_time_embed_dim)


class StableDiffusion3(TextNetwork):
    """Stable Diffusion 3 (Esser et al. 2024, arXiv 2403.03206): two CLIP encoders side by side, T5 behind them.

    Without T5 there are as many zeros in place of what it makes of its tokens, as in diffusers' pipeline.
    """

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        first, second, *third = torch.split(tokens, list(self.lengths), dim=1)
        (one, pooled), (two, other) = (
            hidden_and_pooled(encoder, own) for encoder, own in zip(self.encoders, (first, second), strict=False)
        )
        width = self.denoiser.config.joint_attention_dim
        last = self.encoders[2](third[0])[0] if third else one.new_zeros(len(one), WITHOUT_T5, width)
        clip = torch.cat([one, two], dim=-1)
        clip = torch.nn.functional.pad(clip, (0, last.shape[-1] - clip.shape[-1]))
        return pooled_last(torch.cat([clip, last], dim=1), torch.cat([pooled, other], dim=-1)).float()

    def predict(self, x_t: torch.Tensor, timesteps: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        pooled = embedding[:, -1, : self.denoiser.config.pooled_projection_dim]
        output: torch.Tensor = self.denoiser(
            x_t, timestep=timesteps, encoder_hidden_states=embedding[:, :-1], pooled_projections=pooled,
            return_dict=False,
        )[0]  # fmt: skip
        return output


class Flux(TextNetwork):
    """Flux: T5's hidden states, CLIP's pooled embedding, and 2x2 latent positions as one token.

    A network with distilled guidance takes its scale, `distilled`, as an input, and knows no empty caption.
    """

    knows_null = False

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        first, second = torch.split(tokens, list(self.lengths), dim=1)
        _, pooled = hidden_and_pooled(self.encoders[0], first)
        return pooled_last(self.encoders[1](second)[0], pooled).float()

    def predict(self, x_t: torch.Tensor, timesteps: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        count, channels, height, width = x_t.shape
        packed = x_t.reshape(count, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
        rows, columns = torch.arange(height // 2, device=x_t.device), torch.arange(width // 2, device=x_t.device)
        places = torch.cartesian_prod(rows, columns).to(x_t.dtype)
        guidance = x_t.new_full((count,), self.distilled) if self.denoiser.config.guidance_embeds else None
        output: torch.Tensor = self.denoiser(
            hidden_states=packed.reshape(count, -1, 4 * channels), timestep=timesteps / 1000, guidance=guidance,
            pooled_projections=embedding[:, -1, : self.denoiser.config.pooled_projection_dim],
            encoder_hidden_states=embedding[:, :-1], txt_ids=x_t.new_zeros(embedding.shape[1] - 1, 3),
            img_ids=torch.cat([torch.zeros_like(places[:, :1]), places], dim=1), return_dict=False,
        )[0]  # fmt: skip
        unpacked = output.reshape(count, height // 2, width // 2, channels, 2, 2).permute(0, 3, 1, 4, 2, 5)
        return unpacked.reshape(x_t.shape)
