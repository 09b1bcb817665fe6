"""A text-to-image pipeline that was trained elsewhere, as attacks and samplers see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from leakfront.models import flow
from leakfront.models.adapters.layers import adapted_layers, adapters_off
from leakfront.models.contract import DiffusionModel, PerExampleLoss, Prediction
from leakfront.models.diffusion import to_noise
from leakfront.models.text.tokenizer import tokens_of, words_of

if TYPE_CHECKING:
    from leakfront.models.external.text.autoencoder import Autoencoder
    from leakfront.models.external.text.networks import TextNetwork


class ExternalText(DiffusionModel):
    """See `leakfront.models.contract.DiffusionModel`; `x_t` are noised latents.

    network: the denoiser with its text encoders. autoencoder: for images and latents. tokenizers: in the order of the
    encoders. image_shape: (C, H, W). levels: ab_t, float32 [T]. prediction: what the denoiser outputs. offload: keep
    autoencoder and text encoders in main memory when they are not used. write: copies the model to a folder. base: what
    it was fine-tuned from; of a network with adapters it is the same network without them.
    """

    classes = 0

    def __init__(
        self,
        network: TextNetwork,
        autoencoder: Autoencoder,
        tokenizers: Sequence[Any],
        image_shape: tuple[int, int, int],
        levels: torch.Tensor,
        prediction: Prediction | Literal["flow"],
        offload: bool,
        write: Callable[[Path], None],
        base: DiffusionModel | None = None,
    ) -> None:
        self.network, self.autoencoder, self.tokenizers = network, autoencoder, tokenizers
        self.image_shape, self.alphas_cumprod, self.prediction = image_shape, levels, prediction
        self.words = words_of(tokenizers[0])
        self.null = self._tokens([""])[0] if network.knows_null else None
        self._offload, self._write = offload, write
        self._adapted = any(map(adapted_layers, self._networks))
        self._counts = Counter[str]()
        self.base = WithoutAdapters(self) if self._adapted else base

    @property
    def _networks(self) -> tuple[torch.nn.Module, ...]:
        """The denoiser and the text encoders, which need not be part of one module."""
        return self.network.denoiser, self.network.encoders

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of the latents."""
        _, height, width = self.image_shape
        return self.autoencoder.channels, height // self.autoencoder.factor, width // self.autoencoder.factor

    def conditions(self, labels: torch.Tensor, captions: Sequence[str] | None) -> torch.Tensor:
        """The token ids int64 [N, L] of the captions, on the device of the labels; the empty caption without any."""
        return self._tokens(captions if captions is not None else [""] * len(labels)).to(labels.device)

    def _tokens(self, captions: Sequence[str]) -> torch.Tensor:
        return torch.cat([tokens_of(tokenizer, captions) for tokenizer in self.tokenizers], dim=1)

    def aside(self) -> dict[str, int]:
        """Images encoded and decoded, and captions embedded, by this model and its base."""
        own = self._counts["captions"]
        others = self.base._counts["captions"] if isinstance(self.base, ExternalText) and not self._adapted else 0
        coder = self.autoencoder
        return {"encoded": coder.encoded, "decoded": coder.decoded, "captions_embedded": own + others}

    def embed(self, condition: torch.Tensor) -> torch.Tensor:
        self._counts["captions"] += len(condition)
        with self._in_use(self.network.encoders, condition.device):
            return self.network.embed(condition)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """The latents, float32 [N, c, h, w], of images float32 [N, C, H, W] in [-1, 1]."""
        with self._in_use(self.autoencoder, images.device):
            return self.autoencoder.encode(images)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """The images, float32 [N, C, H, W], of latents float32 [N, c, h, w]."""
        with self._in_use(self.autoencoder, latents.device):
            return self.autoencoder.decode(latents)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        given = self.conditions(t, None) if condition is None else condition
        embedding = given if given.is_floating_point() else self.embed(given)
        return self._noise(self.network, x_t, t, embedding)

    def parameters(self) -> dict[str, torch.Tensor]:
        """The denoiser's weights, of one with adapters these alone; the text encoders are taken as they are."""
        named = self.network.denoiser.named_parameters()
        learned = {f"denoiser.{name}": value.detach() for name, value in named}
        return {name: value for name, value in learned.items() if not self._adapted or ".lora_" in name}

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        def call(*arguments: torch.Tensor) -> Any:
            return torch.func.functional_call(self.network, parameters, arguments)

        return self._noise(call, x_t, t, condition)

    def _noise(
        self, call: Callable[..., Any], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        """The noise prediction that follows from the output of the network, called by `call`."""
        if self.prediction == "flow":
            s = flow.times(len(self.alphas_cumprod)).to(x_t.device)[t]
            return flow.noise_of(lambda x_s, time: call(x_s, time, condition)[0], x_t, s)
        (output,) = call(x_t, t, condition)
        return to_noise(output, x_t, self.alphas_cumprod.to(x_t.device)[t], self.prediction)

    def fit(self, images: torch.Tensor, condition: torch.Tensor | None = None) -> None:
        """Do nothing: the model stays as it was trained."""

    def loss(self) -> PerExampleLoss:
        raise TypeError("an external model is attacked, not trained")

    def save(self, folder: Path) -> None:
        """Copy the files that the model was read from."""
        self._write(folder)

    @contextmanager
    def _in_use(self, part: torch.nn.Module, device: torch.device) -> Iterator[None]:
        """Have a part on the device in the block; afterwards it stays there, unless parts are offloaded."""
        part.to(device)
        try:
            yield
        finally:
            if self._offload:
                part.to("cpu")


class WithoutAdapters(ExternalText):
    """The base of a model with adapters, in the memory of this: they are off while it is asked."""

    def __init__(self, model: ExternalText) -> None:
        vars(self).update({**vars(model), "base": None})

    @contextmanager
    def _off(self) -> Iterator[None]:
        with ExitStack() as stack:
            for network in self._networks:
                stack.enter_context(adapters_off(network))
            yield

    def embed(self, condition: torch.Tensor) -> torch.Tensor:
        with self._off():
            return super().embed(condition)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        given = self.conditions(t, None) if condition is None else condition
        embedding = given if given.is_floating_point() else self.embed(given)
        with self._off():
            return super().predict_noise(x_t, t, embedding)

    def parameters(self) -> dict[str, torch.Tensor]:
        named = self.network.denoiser.named_parameters()
        return {f"denoiser.{name}": value.detach() for name, value in named if ".lora_" not in name}

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        with self._off():
            return super().predict_with(parameters, x_t, t, condition)

    def save(self, folder: Path) -> None:
        raise TypeError("a base is stored with the model that was fine-tuned from it")
