"""Classification accuracy score (Ravuri and Vinyals 2019): train on generated images, test on real ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from leakfront.errors import InputError
from leakfront.results.metrics import Metric, register
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.metrics.manifold import HALVINGS, share
from leakfront.results.statistics.estimate import Estimate


@register("classifier_accuracy")
@dataclass(frozen=True)
class ClassifierAccuracy(Metric):
    """Accuracy on real images of a classifier trained on generated images and the classes they were sampled for.

    Source: Ravuri and Vinyals 2019 (arXiv 1905.10887), section 3. Higher is better, in [0, 1]. A class that no
    generated image shows costs its share.

    The source trains a ResNet-50 on pixels. Here the classifier is multinomial logistic regression (scikit-learn) on
    the features that all metrics share: features standardized by the generated images' moments, L2 penalty with C = 1,
    nothing tuned on test images or others. So the value says whether the classes lie on the right sides of each other
    in these features. It is much cheaper and has another scale: compare accuracies only on the same features at the
    same numbers of images. Real training images (the row of held-out images) give the upper end of the scale.
    `embedded` features were trained on real labels, of images outside pool and reference, which flatters every
    accuracy: generated images need not teach what separates the classes, only which class is which.

    The interval is for the expected value at these numbers of images, over new draws of the generated images (with the
    same number of each class) and of the real ones (`manifold.share`, on halves of both). It does not cover training
    the generator again; the rows over splits do. docs/coverage.md states its measured coverage.

    Time is 41 fits, 40 of them on half of the images; memory holds one copy of all features.
    """

    higher_is_better = True
    floor = 0.0
    ceiling = 1.0
    needs_labels = True

    def minimum(self, dimensions: int) -> int:
        """20 images; the interval from fewer is too wide to be of use."""
        return 20

    def estimate(self, generated: ImageSet, real: ImageSet, seed: int) -> Estimate:
        """Trained on N_G images, tested on N_R; `seed` draws the halvings behind the interval.

        Raises `InputError` below 20 images on either side, without labels, and for fewer than two classes with two
        generated images each.
        """
        self.check_images(generated, real)
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
    """Share of [M, d] features whose label [M] is predicted by logistic regression trained on [N, d] and [N]."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=1000)).fit(x, y)
    return float((classifier.predict(x_test) == y_test).mean())


def _half(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random half of the images as a mask [N]; each class is halved as evenly as possible."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    mask = np.zeros(len(labels), dtype=np.bool_)
    mask[order[::2]] = True
    return mask
