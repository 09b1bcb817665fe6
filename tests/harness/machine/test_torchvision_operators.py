"""torchvision can be imported with any torch build, at no cost to those who do not need the fix."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]

FAKE_TORCH = '''
"""Stands in for a torch that records what is asked of it; its library loads if it says so."""
log, declared = [], set()

class library:
    class Library:
        def __init__(self, namespace, kind):
            log.append((namespace, kind))
        def define(self, schema):
            declared.add(schema.split("(")[0])
            log.append(schema)

class _Namespace:
    def __getattr__(self, name):
        if name not in declared:
            raise AttributeError(name)

class ops:
    torchvision = _Namespace()
    @staticmethod
    def load_library(path):
        log.append(("load", str(path)))
        text = open(path).read()
        if text != "good":
            raise {"OSError": OSError, "ImportError": ImportError, "RuntimeError": RuntimeError}[text]("does not load")
'''
FAKE_TORCHVISION = "import torch\nseen_before_the_package_ran = list(torch.log)\n"
NMS = "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


def run(code: str, path: Path = CHECKOUT, *options: str) -> str:
    """The output of `code` in a fresh interpreter that finds modules in `path` and the checkout."""
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{CHECKOUT}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def fake_builds(folder: Path, library: str | None) -> Path:
    """A torch, and a torchvision whose operator library has the content `library` (none at all if None)."""
    (folder / "torch.py").write_text(FAKE_TORCH)
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(FAKE_TORCHVISION)
    if library is not None:
        (package / "_C.so").write_text(library)
    return folder


def seen_by_torchvision(folder: Path) -> list[object]:
    """The calls of the fake torch before the fake torchvision ran."""
    code = "import leakfront, torchvision; print(torchvision.seen_before_the_package_ran)"
    return list(ast.literal_eval(run(code, folder, "-S")))


def test_importing_leakfront_imports_neither_torch_nor_numpy() -> None:
    imported = run("import leakfront, sys; print(leakfront.__version__, *sys.modules)").split()
    assert imported[0] == "0.1.0"
    assert "leakfront.harness.machine.torchvision_operators" in imported
    assert not {"torch", "torchvision", "numpy"} & set(imported)


def test_looking_for_torchvision_does_not_import_torch() -> None:
    code = "import leakfront, sys, importlib.util as u; print(u.find_spec('torchvision').name, *sys.modules)"
    found = run(code).split()
    assert found[0] == "torchvision"
    assert "torch" not in found[1:]


def test_the_installed_torchvision_works_after_importing_leakfront() -> None:
    code = """
import leakfront, sys
before = len(sys.meta_path)
import torch, torchvision
from torchvision import datasets
from torchvision.transforms import v2
print(v2.CenterCrop(2)(torch.zeros(1, 4, 4)).shape[-1], datasets.MNIST.__name__, before - len(sys.meta_path))
print(type(torchvision.__loader__).__name__, type(torchvision.__spec__.loader).__name__)
"""
    assert run(code).split() == ["2", "MNIST", "1", "SourceFileLoader", "SourceFileLoader"]


def test_a_matching_build_is_left_alone(tmp_path: Path) -> None:
    folder = fake_builds(tmp_path, "good")
    assert seen_by_torchvision(folder) == [("load", str(folder / "torchvision" / "_C.so"))]


@pytest.mark.parametrize("library", ["OSError", "ImportError", None])
def test_the_operators_are_declared_before_a_torchvision_runs_whose_library_does_not_load(
    tmp_path: Path, library: str | None
) -> None:
    seen = [entry for entry in seen_by_torchvision(fake_builds(tmp_path, library)) if entry[0] != "load"]  # type: ignore[index]
    assert seen == [("torchvision", "FRAGMENT"), NMS, "q" + NMS]


def test_any_other_failure_of_the_library_is_not_hidden(tmp_path: Path) -> None:
    fake_builds(tmp_path, "RuntimeError")
    code = "import leakfront\ntry:\n import torchvision\nexcept RuntimeError as error: print(error)"
    assert run(code, tmp_path, "-S") == "does not load"


def test_an_operator_that_somebody_else_declared_is_not_declared_again(tmp_path: Path) -> None:
    fake_builds(tmp_path, None)
    code = "import leakfront, torch; torch.declared.add('nms'); import torchvision; print(torch.log[1:])"
    assert ast.literal_eval(run(code, tmp_path, "-S")) == ["q" + NMS]


def test_installing_twice_acts_once(tmp_path: Path) -> None:
    fake_builds(tmp_path, None)
    code = """
import sys
finders = len(sys.meta_path)
import leakfront
leakfront.install()
import torchvision, torch
leakfront.install()
print(torch.log.count(("torchvision", "FRAGMENT")), len(sys.meta_path) - finders)
"""
    assert run(code, tmp_path, "-S") == "1 0"


def test_without_torchvision_its_import_fails_as_usual(tmp_path: Path) -> None:
    code = "import leakfront\ntry:\n import torchvision\nexcept ModuleNotFoundError as error: print(error.name)"
    assert run(code, tmp_path, "-S") == "torchvision"
