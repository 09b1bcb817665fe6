"""FID and KID from the same features: ours with intervals and FID's value alone, those of other libraries without.

The features are correlated and rectified. They have 768 dimensions by default (Inception-v3 has 2,048), and each side
has twice as many images as dimensions. KID is the statistic of all images; the other libraries compute it as one subset
that holds all images. The limits are operations that an exact value needs: two covariances and one symmetric eigenvalue
problem for FID, three matrix products for KID.

Run: OMP_NUM_THREADS=1 python -m benchmarks.features_metrics [DIMENSIONS]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

import leakfront
from benchmarks.side_by_side import compare
from leakfront.results.metrics.fid import FID, Moments, frechet_distance
from leakfront.results.metrics.image_set import ImageSet
from leakfront.results.metrics.kid import KID

DIMENSIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 768
IMAGES = 2 * DIMENSIONS
AGREEMENT = 1e-4  # relative


def main() -> None:
    """Print values, differences and CPU times on one thread; exit with 1 if values differ by more than 1e-4."""
    torch.set_num_threads(1)
    arrays = _features(1, shift=0.05), _features(2, shift=0.0)
    generated, real = (ImageSet.of(features) for features in arrays)
    x, y = arrays
    covariances = [np.cov(features, rowvar=False) for features in arrays]
    fid: dict[str, Callable[[], float]] = {"leakfront": lambda: FID().estimate(generated, real, seed=0).value}
    kid: dict[str, Callable[[], float]] = {"leakfront": lambda: KID().estimate(generated, real, seed=0).value}
    tensors = torch.from_numpy(x), torch.from_numpy(y)
    _add_torch_fidelity(fid, kid, *tensors)
    _add_torchmetrics(fid, kid, *tensors)
    fid["leakfront, value alone"] = lambda: _value_alone(generated, real)
    limit = {
        "covariances and eigenvalues alone": lambda: (*map(_covariance, arrays), np.linalg.eigvalsh(covariances[0]))
    }
    _print("FID", fid, limit)
    _print("KID", kid, {"three matrix products alone": lambda: (x @ x.T, y @ y.T, x @ y.T)})


def _value_alone(generated: ImageSet, real: ImageSet) -> float:
    first, second = Moments.of(generated), Moments.of(real)
    return frechet_distance(first.mean, first.covariance, second.mean, second.covariance)


def _covariance(features: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.cov(features, rowvar=False)
    return found


def _features(seed: int, shift: float) -> np.ndarray:
    mixing = np.random.default_rng(0).normal(size=(DIMENSIONS, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    normal = np.random.default_rng(seed).normal(size=(IMAGES, DIMENSIONS))
    rectified: np.ndarray = np.maximum(normal @ mixing + 0.5, 0) + shift
    return rectified


def _add_torch_fidelity(
    fid: dict[str, Callable[[], float]], kid: dict[str, Callable[[], float]], x: torch.Tensor, y: torch.Tensor
) -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric

    def fid_value() -> float:
        statistics = (fid_features_to_statistics(features) for features in (x, y))
        return float(fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"])

    def kid_value() -> float:
        found = kid_features_to_metric(x, y, kid_subsets=1, kid_subset_size=IMAGES, rng_seed=0, verbose=False)
        return float(found["kernel_inception_distance_mean"])

    fid["torch-fidelity"], kid["torch-fidelity"] = fid_value, kid_value


def _add_torchmetrics(
    fid: dict[str, Callable[[], float]], kid: dict[str, Callable[[], float]], x: torch.Tensor, y: torch.Tensor
) -> None:
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance
        from torchmetrics.image.kid import KernelInceptionDistance
    except ModuleNotFoundError:
        print("torchmetrics: not installed")
        return
    identity: Any = torch.nn.Identity()  # a feature extractor whose input are features
    identity.num_features = DIMENSIONS

    def updated(metric: Any) -> Any:
        metric.update(y, real=True)
        metric.update(x, real=False)
        return metric.compute()

    fid["torchmetrics"] = lambda: float(updated(FrechetInceptionDistance(feature=identity)))
    kid["torchmetrics"] = lambda: float(
        updated(KernelInceptionDistance(feature=identity, subsets=1, subset_size=IMAGES))[0]
    )


def _print(name: str, values: Mapping[str, Callable[[], float]], limit: Mapping[str, Callable[[], object]]) -> None:
    found = {contender: value() for contender, value in values.items()}  # also the warm-up
    ours = found["leakfront"]
    for contender, value in found.items():
        difference = abs(value / ours - 1)
        print(f"{name} by {contender}: {value:.10g}, {difference:.1e} from ours")
        if difference > AGREEMENT:
            sys.exit(f"{name} by {contender} differs from ours by more than {AGREEMENT:g}")
    compare(
        f"leakfront {leakfront.__version__}, {name} of {IMAGES} and {IMAGES} x {DIMENSIONS} features, one thread",
        {**values, **limit},
        warmup=0,
        clock=time.process_time,
    )


if __name__ == "__main__":
    main()
