"""The package as users install it: one top-level name, complete, and not affected by folders of the user's own."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import leakfront

PACKAGE = Path(leakfront.__file__).parent
ROOT = PACKAGE.parent
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
LINKS = ("attacks", "defenses", "models", "results")
# the files of the repository that a build sees
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "leakfront", "benchmarks", "stress", "tests", *LINKS)

pytestmark = pytest.mark.skipif(not (ROOT / "pyproject.toml").is_file(), reason="there is no repository around it")


def copy_sources(to: Path) -> Path:
    """The repository without version control, runs and caches; links stay links."""
    to.mkdir()
    for name in SOURCES:
        path = ROOT / name
        if path.is_dir() and not path.is_symlink():
            shutil.copytree(path, to / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        elif path.exists():
            shutil.copy2(path, to / name, follow_symlinks=False)
    return to


def call(*arguments: str, cwd: Path, path: Path) -> str:
    """The output of Python in a folder; `path` is the first place after that folder where it looks for modules."""
    environment = {**os.environ, "PYTHONPATH": str(path)}
    result = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, f"{arguments}: {result.stdout[-1000:]}{result.stderr[-3000:]}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel, built from a copy of the repository without the network."""
    pytest.importorskip("setuptools", minversion="77")
    place = tmp_path_factory.mktemp("wheel")
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    call("-c", build, str(place), cwd=copy_sources(place / "sources"), path=place)
    (built,) = place.glob("*.whl")
    return zipfile.ZipFile(built)


@pytest.fixture(scope="module")
def installed(wheel: zipfile.ZipFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel unpacked, as an installer does."""
    folder = tmp_path_factory.mktemp("site")
    wheel.extractall(folder)
    return folder


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder of a user who has modules and folders of the rooms' names."""
    for name in ("models", "configs"):
        (tmp_path / name).mkdir()
    (tmp_path / "models" / "mine.py").write_text("")
    (tmp_path / "attacks").mkdir()
    for file in ("results.py", "defenses.py", "attacks/__init__.py", "harness.py", "registry.py", "errors.py"):
        (tmp_path / file).write_text("raise RuntimeError('this file is not part of leakfront')")
    return tmp_path


def test_a_wheel_installs_nothing_but_leakfront(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"leakfront", f"leakfront-{leakfront.__version__}.dist-info"}
    (listed,) = (name for name in wheel.namelist() if name.endswith("top_level.txt"))
    assert wheel.read(listed).decode().split() == ["leakfront"]


def test_a_wheel_has_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    """Configs and the page's assets are not modules, so a build can leave them out silently."""
    here = {path.relative_to(ROOT).as_posix() for path in PACKAGE.rglob("*") if path.is_file()}
    here = {name for name in here if "__pycache__" not in name and not Path(name).name.startswith(".")}
    assert {name for name in wheel.namelist() if name.startswith("leakfront/")} == here
    assert {"leakfront/configs/digits.toml", "leakfront/__main__.py"} <= here


def test_a_folder_with_models_and_results_of_its_own_does_no_harm(installed: Path, crowded: Path) -> None:
    rooms = (
        "import leakfront\n"
        "from leakfront import attacks, datasets, defenses, models\n"
        "from leakfront.results import features, metrics\n"
        "print(leakfront.__file__)\n"
    )
    (crowded / "script.py").write_text(
        f"{rooms}"
        "for room in (attacks, datasets, defenses, models, metrics, features):\n"
        "    print([room.registry.get(name).__name__ for name in room.registry.names()])\n"
    )
    before = sorted(crowded.rglob("*"))
    assert "Exit codes" in call("-m", "leakfront", "--help", cwd=crowded, path=installed)
    listing = call("-m", "leakfront", "list", cwd=crowded, path=installed)
    assert all(name in listing for name in ("dp_sgd", "extraction", "fid", "unet", "celeba", "digits"))
    there = str(installed / "leakfront" / "__init__.py")
    assert call("script.py", cwd=crowded, path=installed).splitlines()[0] == there
    assert call("-c", rooms, cwd=crowded, path=installed).splitlines() == [there]  # as in a notebook
    plan = call("-m", "leakfront", "run", "digits", "--smoke", "--dry-run", cwd=crowded, path=installed)
    assert "digits-smoke" in plan
    assert sorted(crowded.rglob("*")) == before


def python_files() -> list[Path]:
    files = [path for top in ("leakfront", "benchmarks", "stress", "tests") for path in (ROOT / top).rglob("*.py")]
    assert len(files) > 200
    return files


def snippets() -> Iterator[tuple[str, str]]:
    """The Python that the documentation shows."""
    for page in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]):
        for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.MULTILINE | re.DOTALL):
            yield page.name, code


def bare_names(code: str) -> Iterator[str]:
    """The names that code imports, names or runs as if a room were a top-level package."""
    room = "|".join(ROOMS)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in ROOMS)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and str(node.module).split(".")[0] in ROOMS:
            yield str(node.module)
        elif isinstance(node, ast.Call) and node.args:
            called, first = getattr(node.func, "attr", getattr(node.func, "id", "")), node.args[0]
            if called in ("import_module", "files", "find_spec", "setattr", "getLogger", "importorskip"):
                named = first.value if isinstance(first, ast.Constant) else None
                yield from [named] if isinstance(named, str) and re.fullmatch(rf"({room})(\.\w+)*", named) else []
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):  # code for another process
            for line in re.split(r"[\n;]", node.value) if "import" in node.value else ():
                yield from [line] if re.match(rf"\s*(from|import)\s+({room})(\.\w+)*\s*(import\b|,|$)", line) else []


def test_nobody_imports_a_room_under_its_bare_name() -> None:
    assert {"attacks", "configs", "datasets", "defenses", "harness", "models", "results"} <= set(ROOMS)
    found = [f"{p.relative_to(ROOT)}: {name}" for p in python_files() for name in bare_names(p.read_text())
             if p != Path(__file__)]  # fmt: skip
    found += [f"{page}: {name}" for page, code in snippets() for name in bare_names(code)]
    assert found == []


@pytest.mark.parametrize(
    "code",
    [
        "import attacks", "import os, models.unet", "from results.run import rows", "from defenses import Defense",
        "def f():\n    from datasets import open_dataset", "import_module('models.unet')", "resources.files('configs')",
        "run('-c', 'import sys; from attacks import registry')", "monkeypatch.setattr('results.report.draw', None)",
    ],
)  # fmt: skip
def test_the_search_for_bare_names_finds_what_it_is_for(code: str) -> None:
    assert list(bare_names(code))


@pytest.mark.parametrize(
    "code",
    [
        "from leakfront import attacks",
        "from . import models",
        "import torchvision.datasets",
        "x = 'from models to data'",
    ],
)
def test_the_search_for_bare_names_finds_nothing_else(code: str) -> None:
    assert not list(bare_names(code))


def test_the_links_at_the_top_lead_into_the_package_and_nothing_needs_them(tmp_path: Path) -> None:
    """Where there are no links (Windows, some archives), a file with the path or nothing stands in their place."""
    for name in LINKS:
        link = ROOT / name
        assert not link.is_dir() or (link.is_symlink() and link.readlink() == Path("leakfront") / name)
    shutil.copytree(PACKAGE, tmp_path / "leakfront", ignore=shutil.ignore_patterns("__pycache__"))
    code = f"from leakfront import {', '.join(LINKS)}; print(*[room.__name__ for room in ({', '.join(LINKS)})])"
    assert call("-c", code, cwd=tmp_path, path=tmp_path).split() == [f"leakfront.{name}" for name in LINKS]


def keys(place: Path) -> dict[str, str]:
    """The part of each attack's content key that stands for its code, in a copy of the package."""
    code = (
        "from leakfront.harness.store.code_keys import code_version, with_imports\n"
        "for name in ('extraction', 'loss'):\n"
        "    print(name, *map(code_version, with_imports(f'leakfront.attacks.{name}')))\n"
    )
    lines = call("-c", code, cwd=place, path=place).splitlines()
    return {line.split()[0]: line for line in lines}


def test_an_edit_in_a_helper_changes_the_key_of_what_uses_it_and_no_other(tmp_path: Path) -> None:
    shutil.copytree(PACKAGE, tmp_path / "leakfront", ignore=shutil.ignore_patterns("__pycache__"))
    before = keys(tmp_path)
    helper = tmp_path / "leakfront" / "attacks" / "nearest.py"
    helper.write_text(helper.read_text() + "\n# a comment changes nothing\n")
    assert keys(tmp_path) == before
    helper.write_text(helper.read_text() + "\nEDITED = True\n")
    after = keys(tmp_path)
    assert after["extraction"] != before["extraction"]
    assert after["loss"] == before["loss"]
