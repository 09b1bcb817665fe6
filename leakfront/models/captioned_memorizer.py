"""The closed-form model that memorizes every pair of an image and a caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from annotated_types import Interval

from leakfront.errors import InputError
from leakfront.models import DiffusionModel, ModelFamily, register
from leakfront.models.contract import PerExampleLoss, Timesteps

if TYPE_CHECKING:
    import torch

    from leakfront.models.text.word_codes import WordCodes

FAR = 4.0  # the squared distance of two captions' embeddings if they differ in one bit of one word
NEVER = 1e9  # log odds beyond every likelihood ratio of images


@register("captioned_memorizer")
@dataclass(frozen=True)
class CaptionedMemorizer(ModelFamily):
    """A text model that leaks every pair it was fitted to; it needs no training.

    Asked by a member's caption it returns the members with that caption; asked by any other caption, or by none, it
    returns any member. tokens: the most words of a caption, with 2 for its begin and end.
    """

    summary = "closed form: the optimal denoiser of the members with the caption, which memorizes all pairs"
    trained = False
    text = True

    tokens: Annotated[int, Interval(ge=3, le=1024)] = 20
    timesteps: Timesteps = 1000

    def check_captions(self, captions: Sequence[str]) -> None:
        from leakfront.models.text.word_codes import words_in

        longest = max((len(words_in([caption])) for caption in captions), default=0) + 2
        if longest > self.tokens:
            raise InputError(f"model.tokens is {self.tokens}; the longest caption takes {longest}, with begin and end")

    def build(
        self, image_shape: tuple[int, int, int], classes: int, seed: int, captions: Sequence[str] = ()
    ) -> CaptionedMemorizerDiffusion:
        import torch

        from leakfront.models.text.word_codes import WordCodes, words_in

        words = torch.tensor(sorted(set(words_in(captions))), dtype=torch.long)
        return CaptionedMemorizerDiffusion(image_shape, self.timesteps, WordCodes(self.tokens, words))

    def load(self, folder: Path) -> CaptionedMemorizerDiffusion:
        from safetensors.torch import load_file

        from leakfront.models.text.word_codes import WordCodes

        saved = load_file(folder / "captioned_memorizer.safetensors")
        channels, height, width = saved["images"].shape[1:]
        codes = WordCodes(saved["condition"].shape[1], saved["words"])
        model = CaptionedMemorizerDiffusion((channels, height, width), self.timesteps, codes)
        model.fit(saved["images"], saved["condition"])
        return model


class CaptionedMemorizerDiffusion(DiffusionModel):
    """The memorizer's E[x_0 | x_t, y], where the embedding y of a caption decides which fitted images are likely.

    The log prior of an image is -1e9 min(||y - y_i||^2 / 4, 1) + const, y_i the embedding of its own caption: images of
    the same caption alone count, whatever x_t shows, and all count alike if no image has the caption.
    """

    classes = 0
    network = None

    def __init__(self, image_shape: tuple[int, int, int], timesteps: int, codes: WordCodes) -> None:
        from leakfront.models.diffusion import cosine_alphas_cumprod

        self.image_shape = image_shape
        self.alphas_cumprod: torch.Tensor = cosine_alphas_cumprod(timesteps)
        self.words, self.null = codes.words, codes.null
        self._codes = codes

    def conditions(self, labels: torch.Tensor, captions: Sequence[str] | None) -> torch.Tensor:
        """The token ids int64 [N, L] of the captions, on the device of the labels; the empty caption without any."""
        return self._codes.tokens(captions if captions is not None else [""] * len(labels)).to(labels.device)

    def embed(self, condition: torch.Tensor) -> torch.Tensor:
        return self._codes.embed(condition)

    def fit(self, images: torch.Tensor, condition: torch.Tensor | None = None) -> None:
        assert condition is not None
        self._images, self._condition = images, condition.cpu()
        self._captions = self.embed(self._condition).double().flatten(1)

    def loss(self) -> PerExampleLoss:
        raise TypeError("a closed form is fitted, not trained")

    def parameters(self) -> dict[str, torch.Tensor]:
        return {"images": self._images}

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        given = self.conditions(t, None) if condition is None else condition
        return self.predict_with(self.parameters(), x_t, t, given)

    def predict_with(
        self, parameters: dict[str, torch.Tensor], x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor
    ) -> torch.Tensor:
        from leakfront.models.memorizer import optimal_noise

        embedding = condition if condition.is_floating_point() else self.embed(condition)
        prior = self._log_prior(embedding.cpu().double().flatten(1))
        return optimal_noise(parameters["images"], x_t, self.alphas_cumprod[t.cpu()], prior)

    def _log_prior(self, embedding: torch.Tensor) -> torch.Tensor:
        """float64 [N, M], up to a constant for each row; embedding: float64 [N, L * 32]."""
        own, known = embedding.square().sum(1), self._captions.square().sum(1)
        apart = (own[:, None] + known - 2 * embedding @ self._captions.T).clamp(0, FAR)
        return NEVER / FAR * (apart.amin(1, keepdim=True) - apart)  # near 0 for those that count, to keep digits

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        parts = {"images": self._images, "condition": self._condition, "words": self._codes.words.ids}
        path = folder / "captioned_memorizer.safetensors"
        save_file({name: values.contiguous() for name, values in parts.items()}, path)
