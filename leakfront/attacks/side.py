"""Extraction from a model that is guided towards clusters of its own samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Gt, Lt

from leakfront.attacks import Attack, Generated, GenerationContext, Scores, Shadow, Target, register
from leakfront.attacks.extraction import Extraction
from leakfront.models.contract import in_pixels
from leakfront.seeds import derive_seed

if TYPE_CHECKING:
    import torch

    from leakfront.models.contract import DiffusionModel, Words

AT_ONCE = 64  # images that are encoded together


class GuidedModel:
    """eps_theta(x_t, t) - scale sqrt(1 - ab_t) grad log p(cluster | x_t, t) (Dhariwal and Nichol 2021, Alg. 2).

    Where guidance would drive a pixel of the predicted x_0 out of [-1, 1], only the part within the range is kept. The
    samplers clip x_0 but not the noise; without this, they would drop the change of x_0 and keep its opposite in the
    noise. Codes of images have no range, and are not clipped.

    Its classes are the pairs of a cluster and a class of the model: class i asks for class i modulo the model's number
    of classes, so a sample has the same noise and class as without guidance. A text model gets the empty caption.
    Everything else is the model's own.
    """

    null: torch.Tensor | None = None  # it takes classes, whatever the model takes
    words: Words | None = None

    def __init__(self, model: DiffusionModel, classifier: torch.nn.Module, clusters: int, scale: float) -> None:
        self._model = model
        self._classifier = classifier.requires_grad_(False)
        self._scale = scale
        self._own_classes = max(model.classes, 1)
        self.classes = clusters * self._own_classes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def embed(self, condition: torch.Tensor) -> torch.Tensor:
        return condition

    def predict_noise(self, x_t: torch.Tensor, t: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        import torch

        if condition is None:
            raise ValueError("guided sampling needs conditions, the clusters to go to")
        own = condition % self._own_classes
        if self._model.words is not None:
            assert self._model.null is not None  # a text model knows the empty caption
            own = self._model.null.to(x_t.device).expand(len(x_t), -1)
        noise = self._model.predict_noise(x_t, t, own)
        if self._scale == 0:
            return noise
        with torch.enable_grad():  # samplers run without gradients
            x = x_t.detach().requires_grad_()
            log_p = self._classifier.to(x_t.device)(x, t).log_softmax(1)
            asked = log_p.gather(1, (condition // self._own_classes)[:, None])
            (gradient,) = torch.autograd.grad(asked.sum(), x)
        alpha_bar = self._model.alphas_cumprod.to(x_t.device)[t].reshape(-1, 1, 1, 1)
        signal, spread = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        x_0 = (x_t - spread * noise) / signal
        guided = x_0 + self._scale * spread.square() / signal * gradient
        if in_pixels(self._model):
            guided = guided.clamp(x_0.clamp(max=-1), x_0.clamp(min=1))
        return noise - signal / spread * (guided - x_0)


def make_classifier(channels: int, clusters: int, timesteps: int, seed: int, width: int = 32) -> torch.nn.Module:
    """A small convolutional network with a sinusoidal embedding of the timestep.

    It maps noised images float32 [N, channels, H, W] and timesteps int64 [N] to logits [N, clusters].
    """
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
    """Samples of the model, guided towards clusters of its earlier samples.

    K-means clusters the features of the earlier samples. The share `drop` of the clusters with the least cohesion (mean
    cosine similarity of a cluster's features to their mean) is left out. A classifier learns the other clusters from
    their noised images, with t drawn uniformly, by `steps` steps of Adam on batches of `batch_size`.
    """

    served: ClassVar[bool] = False

    clusters: int
    drop: float
    scale: float
    steps: int
    learning_rate: float
    batch_size: int

    def images(self, pool: int, samples: int) -> float:
        return 2.0 * samples  # the classifier's gradient costs about as much as the model

    def generate(self, context: GenerationContext) -> Generated:
        labels = self.pseudo_labels(context.features, derive_seed(context.seed, "clusters") % 2**32)
        kept, seed = labels >= 0, derive_seed(context.seed, "classifier")
        classifier = self.fit(context.model, context.samples[kept], labels[kept], seed)
        images = context.draw(GuidedModel(context.model, classifier, int(labels.max()) + 1, self.scale))
        return Generated(images, np.full(len(images), -1))

    def pseudo_labels(self, features: np.ndarray, seed: int) -> np.ndarray:
        """The cluster of each image, int64 [G]: 0, 1, … among the clusters kept, -1 if its cluster was dropped."""
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
        """A classifier of noised images, fitted on images uint8 [N, C, H, W] and labels int64 [N]."""
        import torch

        device = next(iter(model.parameters().values())).device
        alpha_bar = model.alphas_cumprod.to(device)
        x_0 = _codes(model, torch.from_numpy(images).float() / 127.5 - 1, device)
        known = torch.from_numpy(labels)
        classifier = make_classifier(x_0.shape[1], int(labels.max()) + 1, len(alpha_bar), seed).to(device)
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


def _codes(model: DiffusionModel, images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """x_0 float32 [N, *latent_shape] of images [N, C, H, W], where these lie; in pixel space the images themselves."""
    import torch

    if in_pixels(model):
        return images
    return torch.cat([model.encode(part.to(device)).to(images.device) for part in torch.split(images, AT_ONCE)])


def _cohesion(features: np.ndarray) -> float:
    """Mean cosine similarity of features [N, d] to their mean."""
    center = features.mean(0)
    norms = np.linalg.norm(features, axis=1) * np.linalg.norm(center)
    return float((features @ center / np.maximum(norms, np.finfo(np.float64).tiny)).mean())


@register("side")
@dataclass(frozen=True)
class SIDE(Attack):
    """Surrogate conditional data extraction (SIDE; Chen et al. 2024, arXiv 2410.02467).

    Conditional models reveal more of their training images than unconditional ones, so the attacker invents a
    condition. Generated images are clustered by their features (K-means, without the least cohesive clusters), and a
    small classifier learns the clusters from noised images. Then as many images are sampled again, guided to one
    cluster after the other by `scale` times the classifier's gradient. Scores, rules and evidence are those of the
    extraction attack with `neighbours` on the guided images only; `nearest_sample` is an index into them. A
    class-conditional model is asked for its classes in turn, as without guidance. The classifier of a latent model sees
    codes of images.

    Three things are this project's choices and not the paper's: the settings, which suit small images; the measure of
    cohesion with the share of clusters dropped; and the limit on guidance by the range of pixels (see `GuidedModel`).
    With a larger scale, more samples stay in their cluster, and fewer of them differ.
    Access: loss (the denoiser itself). Model calls per image: generated images x sampler steps / pool images, on top of
    the first round of samples; the classifier's calls are not counted. It finds only images whose cluster appeared in
    the first round of samples.
    """

    access = "loss"
    extracts = True
    summary = "extraction from samples guided to clusters of earlier samples"

    clusters: Annotated[int, Ge(1)] = 10
    drop: Annotated[float, Ge(0), Lt(1)] = 0.2
    scale: Annotated[float, Ge(0)] = 5.0
    steps: Annotated[int, Ge(1)] = 400
    learning_rate: Annotated[float, Gt(0)] = 2e-3
    batch_size: Annotated[int, Ge(1)] = 128
    neighbours: Annotated[int, Ge(2)] = 50

    def minimum_pool(self) -> int:
        return self.neighbours + 1

    @property
    def generation(self) -> GuidedSamples:
        """The guided samples."""
        return GuidedSamples(self.clusters, self.drop, self.scale, self.steps, self.learning_rate, self.batch_size)

    def generations(self) -> list[GuidedSamples]:
        return [self.generation]

    def score(self, target: Target, shadows: Sequence[Shadow]) -> Scores:
        guided = target.generated[self.generation]["images"]
        found = Extraction(neighbours=self.neighbours).score(replace(target, samples=guided), shadows)
        return replace(found, choices={"scale": self.scale, "chosen by": "fixed beforehand"})
