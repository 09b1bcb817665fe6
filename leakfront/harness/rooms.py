"""The rooms whose plug-ins a config names, by the names that `leakfront list` knows."""

from __future__ import annotations

from leakfront import attacks, datasets, defenses, models
from leakfront.registry import Registry
from leakfront.results import features, metrics

ROOMS: dict[str, Registry] = {
    "defenses": defenses.registry,
    "attacks": attacks.registry,
    "metrics": metrics.registry,
    "features": features.registry,
    "models": models.registry,
    "datasets": datasets.registry,
}
