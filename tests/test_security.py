"""Nothing from outside is executed: no pickles, no remote code, no downloads over plain HTTP, no formulas."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import leakfront
from leakfront.errors import InputError
from leakfront.harness.plan.sweeps import expand
from leakfront.harness.settings.sections import parse_config
from tests.small_config import small

ROOT = Path(leakfront.__file__).parent.parent
PACKAGES = ("leakfront", "benchmarks", "stress")
UNPICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "yaml", "jsonpickle"}
RUNS = {"eval", "exec", "compile", "__import__"}
# exceptions: what a file may do, and why
EXCEPTIONS = {
    ("leakfront/defenses/dedup.py", "torch.load"),  # torchvision's weights, after their SHA-256, weights_only
    ("leakfront/results/features/efficientnet_lite0.py", "torch.load"),  # after its SHA-256, weights_only
    ("leakfront/results/features/sscd.py", "torch.load"),  # weights_only; a TorchScript program is refused before
    ("leakfront/harness/execution/workers.py", "pickle"),  # of its own error, to test if another process can read it
    ("leakfront/harness/machine/provenance.py", "subprocess"),  # git rev-parse and git status
    ("leakfront/datasets/fashion_mnist.py", "http://"),  # where to take the files by hand
    ("leakfront/datasets/svhn.py", "http://"),
    ("leakfront/harness/schema/config.py", "http://"),  # the name of a draft of JSON Schema; nothing is read from there
    ("leakfront/registry.py", "import_module"),  # plug-ins: only names of files in the room
    ("leakfront/harness/machine/torchvision_operators.py", "import_module"),  # torch
    ("leakfront/datasets/files/medical.py", "import_module"),  # pydicom and nibabel, if they are installed
    ("leakfront/testing/__init__.py", "import_module"),  # its own modules
    ("stress/__main__.py", "import_module"),  # its own modules
    # they start leakfront, or themselves, in other processes; mounts.py also unshare and mount
    *(
        (f"benchmarks/{name}.py", "subprocess")
        for name in ("gpu", "private_step", "reproducibility", "startup", "threads")
    ),
    *((f"stress/{name}.py", "subprocess") for name in ("benchmark", "full_disk", "mounts", "read_only")),
}


def deeds(tree: ast.AST) -> Iterator[str]:
    """The operations of a module that could execute something from outside."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (name.split(".")[0] for name in names if name.split(".")[0] in {*UNPICKLES, "subprocess"})
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            if called in RUNS or called in ("os.system", "os.popen") or called.startswith(("os.exec", "os.spawn")):
                yield called
            if called.endswith("import_module"):
                yield "import_module"
            if called.endswith(("torch.load", "hub.load", "load_state_dict_from_url")):
                yield "torch.load"
                assert ast.unparse(given.get("weights_only", ast.Constant(False))) == "True"
            if (
                called in ("np.load", "numpy.load")
                and ast.unparse(given.get("allow_pickle", ast.Constant(1))) != "False"
            ):
                yield "np.load"
            if called.endswith("from_pretrained") and not {"use_safetensors", "local_files_only"} & set(given):
                yield called
            if "trust_remote_code" in given:
                yield "trust_remote_code"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (text for text in ("http://", "trust_remote_code") if text in node.value)


def test_no_module_can_run_what_comes_from_outside() -> None:
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    assert len(files) > 100
    found = {(str(path.relative_to(ROOT)), deed) for path in files for deed in deeds(ast.parse(path.read_text()))}
    assert found == EXCEPTIONS


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from joblib import load", "import yaml.cyaml", "eval(x)", "os.system(x)", "numpy.load(x)",
        "np.load(x, allow_pickle=True)", "M.from_pretrained(x, trust_remote_code=True)", "u = 'http://x'",
        "from subprocess import run", "importlib.import_module(x)", "M.from_pretrained(x)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_is_for(code: str) -> None:
    assert list(deeds(ast.parse(code)))


class Bomb:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        import os

        return os.mkdir, (str(self.made),)


def test_weights_with_a_wrong_checksum_are_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from leakfront.defenses.dedup import WEIGHTS, mobilenet_embedding
    from leakfront.results.features.inception import FILE, Inception

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    for name in (WEIGHTS, FILE):
        (tmp_path / "checkpoints" / name).write_bytes(pickle.dumps(Bomb(tmp_path / "made")))
    images = np.zeros((2, 1, 8, 8), np.uint8)
    with pytest.raises(InputError, match="SHA-256"):
        mobilenet_embedding(images)
    with pytest.raises(InputError, match="SHA-256"):
        Inception().fit(images, np.zeros(2, np.int64), seed=0).extract(images)
    assert not (tmp_path / "made").exists()


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model in diffusers' form."""
    from leakfront.models.unet import UNet

    folder = tmp_path_factory.mktemp("model") / "whole"
    UNet(channels=(8, 8), head_channels=8).build((1, 8, 8), 1, 0).save(folder)
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The attempts to reach the network, all of which fail."""
    import socket

    found: list[Any] = []

    def no_network(*arguments: Any, **options: Any) -> Any:
        found.append(arguments)
        raise OSError("no network here")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    return found


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def pickles_for_weights(folder: Path, made: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Bomb(made)))


def a_pickle_called_safetensors(folder: Path, made: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(pickle.dumps(Bomb(made)))


def an_index_of_pickles(folder: Path, made: Path) -> None:
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "unet" / "evil.bin").write_bytes(pickle.dumps(Bomb(made)))
    index = {"metadata": {}, "weight_map": {"conv_in.weight": "evil.bin", "conv_in.bias": "../../evil.bin"}}
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def code_of_its_own(folder: Path, made: Path) -> None:
    code = f"import os\nos.mkdir({str(made)!r})\nclass Evil: pass\n"
    for place in (folder, folder / "unet", folder / "scheduler"):
        (place / "evil.py").write_text(code)
        (place / "pipeline.py").write_text(code)
    change(folder / "model_index.json", _class_name=["pipeline", "Evil"], unet=["evil", "Evil"], extra=["evil", "Evil"])
    auto = {"AutoModel": "evil.Evil"}
    change(folder / "unet" / "config.json", _class_name="Evil", auto_map=auto, trust_remote_code=True)
    change(folder / "scheduler" / "scheduler_config.json", _class_name="Evil", auto_map=auto)


def paths_that_lead_out(folder: Path, made: Path) -> None:
    change(folder / "unet" / "config.json", _name_or_path="../../..", cache_dir=str(made))
    change(folder / "model_index.json", unet=["../../unet", "../UNet"])


def absurd_shapes(folder: Path, made: Path) -> None:
    change(folder / "unet" / "config.json", block_out_channels=[8, 16], norm_num_groups=0)


def no_model(folder: Path, made: Path) -> None:
    shutil.rmtree(folder / "unet")


@pytest.mark.parametrize(
    ("tamper", "refused"),
    [
        (pickles_for_weights, True),
        (a_pickle_called_safetensors, True),
        (an_index_of_pickles, True),
        (code_of_its_own, False),
        (paths_that_lead_out, False),
        (absurd_shapes, True),
        (no_model, True),
    ],
)
def test_a_hostile_model_folder_is_refused_or_harmless(
    saved: Path, tmp_path: Path, asked: list[Any], tamper: Any, refused: bool
) -> None:
    from leakfront.models.unet import UNet

    folder, made = tmp_path / "foreign", tmp_path / "made"
    shutil.copytree(saved, folder)
    tamper(folder, made)
    before = sorted(tmp_path.rglob("*"))
    if refused:
        with pytest.raises(InputError, match="foreign"):
            UNet().load(folder)
    else:
        assert UNet().load(folder).image_shape == (1, 8, 8)
    assert sorted(tmp_path.rglob("*")) == before
    assert asked == []


def test_a_missing_folder_is_not_looked_up_on_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[Any]
) -> None:
    from leakfront.models.unet import UNet

    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="google"):
        UNet().load(Path("google"))  # whose "unet" would be the name of a repository
    assert asked == []


@pytest.mark.parametrize("label", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "a\nb", "a\r=b", "a\tb", "\x1b[31m"])
def test_no_label_is_a_formula_or_breaks_a_line(label: str) -> None:
    with pytest.raises(InputError, match="label"):
        expand([{"stack": [{"name": "dedup"}], "label": label}])


@pytest.mark.parametrize("name", ["=a", "../a", "a/b", "a\n", "-a", ".a", ""])
def test_no_name_of_a_run_leaves_its_folder(name: str) -> None:
    with pytest.raises(InputError, match="name"):
        parse_config(small(name=name))
