"""Settings that every test shares."""

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

gc.disable()  # while tests are collected: see `pytest_collection_finish`
settings.register_profile("quick", max_examples=50)  # half of the default
settings.load_profile("quick")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("MPLBACKEND", "agg")

# its tests register plug-ins, so test_registry.py runs them in a separate process
collect_ignore = ["plugin_package"]


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The key that signs reports is made in a temporary folder, not in that of the user."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session", autouse=True)
def no_waits_for_the_disk() -> Iterator[None]:
    """`os.fsync` takes milliseconds, and what it does shows only when the power fails: see `tests/power_loss.py`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", os.fstat)  # which refuses a wrong descriptor, too
        yield


@pytest.fixture(scope="module", autouse=True)
def spared_collector() -> Iterator[None]:
    """Each training begins with `gc.collect()`: spare it the libraries that the module's tests have imported."""
    yield
    if len(gc.get_objects()) > 50_000:
        gc.collect()
        gc.freeze()


# The modules that take longest, longest first. `make test` begins with them, so that no process ends alone.
LONG = (
    "harness/test_loop.py",
    "harness/execution/test_ray_cluster.py",
    "harness/test_another_device.py",
    "results/test_themes.py",
    "results/test_report.py",
    "results/test_fronts.py",
    "harness/store/test_secret.py",
    "harness/execution/",
    "harness/stages/",
    "defenses/test_dp_finetune.py",
    "attacks/test_suites.py",
    "results/",
    "defenses/",
    "test_package.py",
    "test_registry.py",
    "testing/",
    "docs/",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of long modules first."""

    def place(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((place for place, name in enumerate(LONG) if f"tests/{name}" in path), len(LONG))

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """Spare the collector the objects of the imported libraries, of which there are a million, and let it run less."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
    gc.enable()
