"""Classification accuracy score (Ravuri and Vinyals 2019): trained on generated images, tested on real ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from leakfront.errors import InputError
from leakfront.results.metrics import Estimate, register
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.metrics.manifold import HALVINGS, share


@register("classifier_accuracy")
@dataclass(frozen=True)
class ClassifierAccuracy:
    """Accuracy on real images of a classifier trained on generated ones with the classes that were asked for.

    Ravuri and Vinyals 2019 (arXiv 1905.10887), section 3. Higher is better, in [0, 1]; a class that no generated image
    shows costs its share. What it differs in: there the classifier is a ResNet-50 trained on pixels, here multinomial
    logistic regression (scikit-learn; features standardized by the generated images' moments, L2 penalty with C = 1)
    on the features that all metrics share. Nothing is tuned, on test images or others. So it tells whether classes lie
    on the right sides of each other in these features, is much cheaper, and has another scale; only accuracies on the
    same features at the same numbers of images compare. Real training images (the row of held-out images) are the
    upper end. `embedded` features were themselves trained on real labels, outside pool and reference, so that they
    flatter every accuracy: generated images need not teach what separates the classes, only which is which.

    The interval is for the expectation at these numbers of images, over drawing the generated images anew, with as many
    of each class, and the real ones (`manifold.share`, on halves of both); not over training the generator anew, which
    the rows over splits cover. Its coverage is measured in docs/coverage.md.

    Time is that of 41 fits, 40 of them on half of the images; in memory is a copy of all features.
    """

    name: ClassVar[str] = "classifier_accuracy"
    unit: ClassVar[str] = ""
    higher_is_better: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = True

    def minimum(self, dimensions: int) -> int:
        """20 images, fewer having an interval that is hardly worth printing."""
        return 20

    def estimate(self, generated: ImageSet, real: ImageSet, seed: int) -> Estimate:
        """Trained on N_G images, tested on N_R; `seed` draws the halvings behind the interval.

        Raises `InputError` below 20 images on either side, without labels, and for fewer than two classes of which
        there are two generated images.
        """
        if min(len(generated), len(real)) < self.minimum(generated.dimensions):
            raise InputError(
                f"{self.name} needs at least 20 images on each side, got {len(generated)} generated and {len(real)} "
                "real"
            )
        if generated.labels is None or real.labels is None:
            raise InputError(f"{self.name} needs the classes of the generated and of the real images")
        if (np.unique(generated.labels, return_counts=True)[1] > 1).sum() < 2:
            raise InputError(f"{self.name} needs two generated images each of at least 2 classes")
        x, y, x_test, y_test = generated.matrix(), generated.labels, real.matrix(), real.labels
        rng, values = np.random.default_rng(seed), [accuracy(x, y, x_test, y_test)]
        for _ in range(HALVINGS):
            train, test = _half(y, rng), _half(np.zeros_like(y_test), rng)
            values.append(accuracy(x[train], y[train], x_test[test], y_test[test]))
            values.append(accuracy(x[~train], y[~train], x_test[~test], y_test[~test]))
        return share(np.array(values), len(real))


def accuracy(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """Share of the features [M, d] that logistic regression trained on [N, d] gives their labels [M]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000)).fit(x, y)
    return float((classifier.predict(x_test) == y_test).mean())


def _half(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random half of the images, and of each class as evenly as it goes, as a mask [N]."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    mask = np.zeros(len(labels), dtype=np.bool_)
    mask[order[::2]] = True
    return mask
