"""Extraction with the model guided towards clusters of its own samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.attacks import Attack, Scores, Shadow, Target, register
from leakfront.attacks.extraction import Extraction
from leakfront.errors import InputError
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    import torch

    from leakfront.models.contract import DiffusionModel


class GuidedModel:
    """eps_theta(x_t, t) - scale sqrt(1 - ab_t) grad log p(cluster | x_t, t) (Dhariwal and Nichol 2021, Alg. 2).

    Where guidance would drive a pixel of the predicted x_0 out of [-1, 1], only the part that stays within is kept:
    the samplers clip x_0 but not the noise, and of what they clip nothing would remain but its opposite, in the noise.

    Its classes are the pairs of a cluster and a class of the model: class i asks for class i modulo the model's, so
    that a sample starts from the noise and class that it has without guidance. All else is the model's own.
    """

    def __init__(self, model: DiffusionModel, classifier: torch.nn.Module, clusters: int, scale: float) -> None:
        self._model = model
        self._classifier = classifier.requires_grad_(False)
        self._scale = scale
        self._own_classes = max(model.classes, 1)
        self.classes = clusters * self._own_classes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        import torch

        if labels is None:
            raise ValueError("guided sampling needs the clusters to go to")
        noise = self._model.predict_noise(x_t, t, labels % self._own_classes if self._model.classes else None)
        if self._scale == 0:
            return noise
        with torch.enable_grad():  # samplers run without gradients
            x = x_t.detach().requires_grad_()
            log_p = self._classifier.to(x_t.device)(x, t).log_softmax(1)
            asked = log_p.gather(1, (labels // self._own_classes)[:, None])
            (gradient,) = torch.autograd.grad(asked.sum(), x)
        alpha_bar = self._model.alphas_cumprod.to(x_t.device)[t].reshape(-1, 1, 1, 1)
        signal, spread = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        x_0 = (x_t - spread * noise) / signal
        guided = x_0 + self._scale * spread.square() / signal * gradient
        guided = guided.clamp(x_0.clamp(max=-1), x_0.clamp(min=1))
        return noise - signal / spread * (guided - x_0)


def make_classifier(channels: int, clusters: int, timesteps: int, seed: int, width: int = 32) -> torch.nn.Module:
    """Logits [N, clusters] of noised images [N, channels, H, W] at timesteps int64 [N]: a small convolutional network
    with a sinusoidal embedding of the timestep."""
    import torch
    from diffusers.models.embeddings import get_timestep_embedding
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter = nn.Conv2d(channels, width, 3, padding=1)
            self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
            self.shrink = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
            self.leave = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(32 * width, clusters))

        def forward(self, x_t: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            at = self.time(get_timestep_embedding(t * (1000 / timesteps), width))
            x = nn.functional.silu(self.enter(x_t) + at[:, :, None, None])
            logits: torch.Tensor = self.leave(nn.functional.silu(self.shrink(x)))
            return logits

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return Classifier()


@dataclass(frozen=True)
class GuidedSamples:
    """Samples of the model guided towards clusters of what it generated before.

    K-means on the features; the share `drop` of clusters of least cohesion (mean cosine similarity of a cluster's
    features to their mean) is left out. A classifier learns the clusters of the rest from their noised images, t drawn
    uniformly, by `steps` steps of Adam on batches of `batch_size`.
    """

    clusters: int
    drop: float
    scale: float
    steps: int
    learning_rate: float
    batch_size: int

    def generate(
        self,
        model: DiffusionModel,
        samples: np.ndarray,
        features: np.ndarray,
        draw: Callable[[DiffusionModel], np.ndarray],
        seed: int,
    ) -> np.ndarray:
        labels = self.pseudo_labels(features, derive_seed(seed, "clusters") % 2**32)
        kept = labels >= 0
        classifier = self.fit(model, samples[kept], labels[kept], derive_seed(seed, "classifier"))
        return draw(GuidedModel(model, classifier, int(labels.max()) + 1, self.scale))

    def pseudo_labels(self, features: np.ndarray, seed: int) -> np.ndarray:
        """The cluster of each image among those kept, 0, 1, …, or -1 where it was dropped, int64 [G]."""
        from sklearn.cluster import KMeans

        clusters = min(self.clusters, len(np.unique(features, axis=0)))
        found = KMeans(clusters, n_init=4, random_state=seed).fit_predict(features)
        cohesion = [_cohesion(features[found == c]) for c in range(clusters)]
        kept = np.sort(np.argsort(cohesion, kind="stable")[int(self.drop * clusters) :])
        labels = np.full(clusters, -1, np.int64)
        labels[kept] = np.arange(len(kept))
        pseudo: np.ndarray = labels[found]
        return pseudo

    def fit(self, model: DiffusionModel, images: np.ndarray, labels: np.ndarray, seed: int) -> torch.nn.Module:
        """The classifier of uint8 images [N, C, H, W], noised, into labels [N]."""
        import torch

        device = next(iter(model.parameters().values())).device
        alpha_bar = model.alphas_cumprod.to(device)
        x_0 = torch.from_numpy(images).float() / 127.5 - 1
        known = torch.from_numpy(labels)
        classifier = make_classifier(images.shape[1], int(labels.max()) + 1, len(alpha_bar), seed).to(device)
        optimizer = torch.optim.Adam(classifier.parameters(), lr=self.learning_rate)
        generator = torch.Generator().manual_seed(seed)
        with torch.enable_grad():
            for _ in range(self.steps):
                rows = torch.randint(len(x_0), (self.batch_size,), generator=generator)
                t = torch.randint(len(alpha_bar), (self.batch_size,), generator=generator).to(device)
                noise = torch.randn(self.batch_size, *x_0.shape[1:], generator=generator).to(device)
                level = alpha_bar[t].reshape(-1, 1, 1, 1)
                x_t = level.sqrt() * x_0[rows].to(device) + (1 - level).sqrt() * noise
                loss = torch.nn.functional.cross_entropy(classifier(x_t, t), known[rows].to(device))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        return classifier.eval()


def _cohesion(features: np.ndarray) -> float:
    """Mean cosine similarity of features [N, d] to their mean."""
    center = features.mean(0)
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(center)
    return float((features @ center / np.maximum(norms, np.finfo(np.float64).tiny)).mean())


@register("side")
@dataclass(frozen=True)
class SIDE(Attack):
    """Surrogate conditional data extraction (SIDE; Chen et al. 2024, arXiv 2410.02467).

    Conditional models give more of their training images away than unconditional ones, so the attacker makes a
    condition up: generated images are clustered by their features (K-means, least cohesive clusters dropped), a small
    classifier learns the clusters from noised images, and the model is sampled anew, as many images, guided to one
    cluster after the other by `scale` times the gradient of the classifier. Score, rules and evidence are those of the
    extraction attack with `neighbours` on the guided images alone: `nearest_sample` counts these. A class-conditional
    model is asked for its classes in turn, as without guidance.

    The settings are this project's, made for small images, not the paper's; so is the measure of cohesion, and the
    share of clusters dropped, and so is holding guidance within the range of pixels (see `GuidedModel`). A
    larger scale keeps more samples to their cluster, and gives fewer different images.
    Access: loss (the denoiser itself). Model calls per image: generated images x sampler steps / pool images, beside
    the first round of samples; the classifier's own calls are not counted. It finds only what the first round of
    samples showed a cluster of.
    """

    access = "loss"
    extracts = True
    summary = "extraction from samples guided to clusters of earlier samples"

    clusters: int = 10
    drop: float = 0.2
    scale: float = 5.0
    steps: int = 400
    learning_rate: float = 2e-3
    batch_size: int = 128
    neighbours: int = 50

    def __post_init__(self) -> None:
        for key, least in (("clusters", 1), ("scale", 0), ("steps", 1), ("batch_size", 1), ("neighbours", 2)):
            if getattr(self, key) < least:
                raise InputError(f"attacks.side.{key} is {getattr(self, key)}; it must be at least {least}")
        if not 0 <= self.drop < 1:
            raise InputError(f"attacks.side.drop is {self.drop}; it must be at least 0 and below 1")
        if not self.learning_rate > 0:
            raise InputError(f"attacks.side.learning_rate is {self.learning_rate}; it must be above 0")

    def minimum_pool(self) -> int:
        return self.neighbours + 1

    def generations(self) -> list[GuidedSamples]:
        return [GuidedSamples(self.clusters, self.drop, self.scale, self.steps, self.learning_rate, self.batch_size)]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        guided = target.generated[self.generations()[0]]["images"]
        found = Extraction(neighbours=self.neighbours).score(replace(target, samples=guided), shadows)
        return replace(found, choices={"scale": self.scale, "chosen by": "fixed beforehand"})
