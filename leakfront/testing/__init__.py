"""Contract checks for plug-ins: for this package's own tests, and for the tests of packages that add plug-ins.

    from leakfront.testing import check_attack

    def test_my_attack_keeps_to_the_contract():
        check_attack(MyAttack)

Each check takes a plug-in's class, or an instance with parameters that suit a small example. It raises
`AssertionError` with one sentence if the plug-in breaks the contract of its kind. The examples are small but real:
scikit-learn's digits, models known in closed form, networks of a few thousand weights. A check takes seconds.

`leakfront.testing.oracles` has the models and targets behind `check_attack`, for further tests of an attack.
pytest is not needed. Importing this package imports no heavy library; torch is imported when a check needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leakfront.testing.attacks import check_attack
    from leakfront.testing.datasets import check_dataset
    from leakfront.testing.defenses import check_defense
    from leakfront.testing.features import check_feature_extractor
    from leakfront.testing.figures import check_figure
    from leakfront.testing.metrics import check_metric
    from leakfront.testing.models import check_model

__all__ = [
    "check_attack", "check_dataset", "check_defense", "check_feature_extractor", "check_figure", "check_metric",
    "check_model",
]  # fmt: skip

_MODULES = {
    "check_attack": "attacks",
    "check_dataset": "datasets",
    "check_defense": "defenses",
    "check_feature_extractor": "features",
    "check_figure": "figures",
    "check_metric": "metrics",
    "check_model": "models",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
