"""The secret of a run: drawn once, kept in a file of its own, and nowhere else."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from leakfront.errors import InputError
from leakfront.harness.plan.make import make_plan
from leakfront.harness.settings.sections import parse_config
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.secret import FILE, make_secret, read_secret
from leakfront.models.unet import UNet
from leakfront.results.run.claims import secrecy
from leakfront.seeds import derive_seed
from tests.few_figures import as_svg, only
from tests.in_process import run_here, train_here
from tests.small_config import small


def test_a_secret_is_drawn_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    layouts = [Layout(tmp_path / name) for name in "ab"]
    for layout in layouts:
        layout.root.mkdir()
        make_secret(layout, None)
    first, second = (read_secret(layout) for layout in layouts)
    assert first.origin == "operating system"
    assert first.key != second.key
    assert ((tmp_path / "a" / FILE).stat().st_mode & 0o777) == 0o600
    make_secret(layouts[0], None)
    assert read_secret(layouts[0]) == first
    assert first.key_of("x") != first.key_of("y")
    assert first.key_of("x") != second.key_of("x")


def test_a_privacy_seed_repeats_a_secret_and_another_one_is_refused(tmp_path: Path) -> None:
    layouts = [Layout(tmp_path / name) for name in "ab"]
    for layout in layouts:
        layout.root.mkdir()
        make_secret(layout, 3)
    assert read_secret(layouts[0]) == read_secret(layouts[1])
    assert read_secret(layouts[0]).origin == "privacy_seed"
    make_secret(layouts[0], 3)
    make_secret(layouts[0], None)  # goes on with the secret that is there
    assert read_secret(layouts[0]) == read_secret(layouts[1])
    with pytest.raises(InputError, match="another privacy_seed"):
        make_secret(layouts[0], 4)


@pytest.mark.parametrize("content", ["", "{}", '{"key": "00", "origin": "privacy_seed"}', "[" * 100_000, '{"key": 3}'])
def test_a_broken_file_is_one_sentence(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(InputError, match=r"privacy-secret\.json cannot be read"):
        read_secret(Layout(tmp_path))


@pytest.fixture
def received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A folder with a secret that another installation made."""
    layout = Layout(tmp_path / "run")
    layout.root.mkdir()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "sender"))
    make_secret(layout, None)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "receiver"))
    return layout


@pytest.mark.parametrize("begun", [False, True])
def test_a_secret_from_elsewhere_is_replaced_once_and_what_was_trained_before_is_stated(
    begun: bool, received: Layout
) -> None:
    theirs = read_secret(received)
    make_secret(received, None, begun=begun)
    ours = read_secret(received)
    assert ours.key != theirs.key
    assert (ours.origin, ours.before) == ("operating system", begun)
    assert ((received.root / FILE).stat().st_mode & 0o777) == 0o600
    make_secret(received, None, begun=True)  # ours by now, so all models begun since are
    assert read_secret(received) == ours


def test_a_secret_without_a_mark_or_with_that_of_another_is_from_elsewhere(received: Layout) -> None:
    make_secret(received, None)
    ours = json.loads((received.root / FILE).read_text())
    for change in ({"mark": None}, {"mark": "é"}, {"mark": "0" * 64}, {"key": "11" * 32}):
        (received.root / FILE).write_text(json.dumps(ours | change))
        make_secret(received, None)
        assert read_secret(received).key.hex() not in (ours["key"], "11" * 32)


def test_a_secret_that_is_gone_is_drawn_anew_and_that_of_a_stated_seed_is_kept(received: Layout) -> None:
    (received.root / FILE).unlink()
    make_secret(received, None, begun=True)
    assert read_secret(received).before
    (received.root / FILE).unlink()
    make_secret(received, 3)
    (received.root / FILE).write_text(json.dumps({"key": read_secret(received).key.hex(), "origin": "privacy_seed"}))
    make_secret(received, 3)
    assert read_secret(received).origin == "privacy_seed"
    make_secret(received, None, begun=True)
    assert (read_secret(received).origin, read_secret(received).before) == ("operating system", True)


def test_the_claims_state_models_that_may_have_drawn_from_the_secret_of_somebody_else() -> None:
    info: dict[str, Any] = {"guarantees": {"dp_sgd": {"epsilon": 1.0}}, "private_draws": "operating system"}
    run: Any = SimpleNamespace(sources=[SimpleNamespace(info=info)])
    assert len(secrecy(run)) == 1
    info["private_draws_before"] = True
    assert "against them these models have no guarantee" in secrecy(run)[1]


PRIVATE = {"name": "dp_sgd", "epsilon": [5.0, 10.0], "physical_batch_size": 16, "accountant": "rdp"}
QUICK: dict[str, Any] = {"training__steps": 3, "attacks": {"loss": {"timesteps": [50], "draws": 1}},
                         "metrics": {"features": "digits_frozen", "names": ["kid"]}}  # fmt: skip
SECRET = {key: value for key, value in small(defenses=[PRIVATE], **QUICK).items() if key != "privacy_seed"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two private defenses, without a privacy seed."""
    folder: Path = tmp_path_factory.mktemp("secret") / "run"
    with only("tradeoff"), as_svg():
        _, printed = run_here(SECRET, folder)
    (folder.parent / "printed").write_text(printed)
    return folder


def test_no_other_file_holds_the_secret_or_what_follows_from_it(folder: Path) -> None:
    key = read_secret(Layout(folder)).key
    hidden = [key, key.hex().encode(), hashlib.sha256(key).hexdigest().encode(), hashlib.sha256(key).digest()]
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != FILE]
    assert len(files) > 50
    for path in [*files, folder.parent / "printed"]:
        content = path.read_bytes()
        assert not any(what in content for what in hidden), path


def test_a_reader_of_config_log_and_rows_cannot_repeat_the_noise(folder: Path) -> None:
    """The seeds that stand in the folder give other draws than the training made: its first batch is not theirs."""
    info = json.loads((folder / "run.json").read_text())
    public = torch.Generator().manual_seed(derive_seed(derive_seed(info["seed"], "training", 0), "step", 0))
    secret = torch.Generator()
    from leakfront.harness.training.draws import seed_private_step

    seed_private_step(secret, read_secret(Layout(folder)).key, 0)
    assert not torch.equal(torch.rand(50, generator=public), torch.rand(50, generator=secret))
    assert info["private_draws_before"] is False
    again = folder.parent / "again"  # the same config: another secret, so other weights
    train_here(SECRET, again)
    assert _private_weights(folder).keys() == _private_weights(again).keys()
    assert not set(_private_weights(folder).values()) & set(_private_weights(again).values())


def _private_weights(folder: Path) -> dict[str, str]:
    """The checksums of the private models by their folders."""
    models = [path.parent for path in folder.glob("models/*/train/train.json")]
    private = [model for model in models if json.loads((model / "train.json").read_text())["guarantee"]]
    assert len(private) == 4
    return {m.parent.name: hashlib.sha256(next(m.rglob("*.safetensors")).read_bytes()).hexdigest() for m in private}


def test_the_private_models_of_a_run_share_no_noise(folder: Path) -> None:
    """Models of one split start from the same weights, and differ in epsilon alone: their changes do not correlate."""
    start = UNet(channels=(8,), head_channels=8).build((1, 8, 8), 10, derive_seed(0, "training", 0)).network
    before = torch.cat([p.detach().flatten() for p in start.parameters()])
    plan = make_plan(parse_config(SECRET))
    changes = []
    for cell in (cell for cell in plan.cells if cell.split == 0 and cell.point.line == "dp_sgd"):
        network = plan.model.load(Layout(folder).model(cell.keys["train"]) / "model").network
        changes.append(torch.cat([p.detach().flatten() for p in network.parameters()]) - before)
    first, second = changes
    assert abs(np.corrcoef(first.numpy(), second.numpy())[0, 1]) < 0.1


def test_the_run_states_what_all_private_models_guarantee_together(folder: Path) -> None:
    from opacus.accountants import RDPAccountant

    info = json.loads((folder / "run.json").read_text())
    (together,) = info["composed_guarantees"]
    ledger = RDPAccountant()
    for guarantee in info["guarantees"].values():
        if guarantee:
            ledger.history += [tuple(stretch) for stretch in guarantee["history"]] * 2  # two splits
    assert together["models"] == 4
    assert together["epsilon"] == pytest.approx(ledger.get_epsilon(together["delta"]), rel=1e-6)
    assert together["epsilon"] > max(g["epsilon"] for g in info["guarantees"].values() if g)
    assert together["group_epsilon"] > together["epsilon"]
    page = (folder / "report/index.html").read_text()
    assert "The 4 private models together, if all are released" in page
    assert "privacy-secret.json" in page


def test_a_run_with_a_privacy_seed_can_be_repeated_and_never_writes_it_down(tmp_path: Path) -> None:
    number = 987_654_321_987
    settings = small(splits=1, defenses=[{**PRIVATE, "epsilon": 5.0}], **QUICK)
    found = []
    for name in "ab":
        seeded = {**settings, "privacy_seed": number}
        if name == "a":
            with only("tradeoff"), as_svg():
                run_here(seeded, tmp_path / name)
        else:
            train_here(seeded, tmp_path / name)
        found += [sorted(_checksums(tmp_path / name))]
    assert found[0] == found[1]
    assert len(found[0]) == 2
    for path in (tmp_path / "a").rglob("*"):
        assert not path.is_file() or str(number).encode() not in path.read_bytes(), path
    assert "only while this number stays secret" in (tmp_path / "a/report/index.html").read_text()


def _checksums(folder: Path) -> list[str]:
    return [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("models/*/train/model/**/*.safetensors")
    ]


def test_private_models_trained_after_receiving_a_run_draw_from_a_secret_of_this_installation(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    received = Path(shutil.copytree(folder, tmp_path / "received"))
    theirs, before = read_secret(Layout(received)), _private_weights(received)
    missing = min(before)
    shutil.rmtree(received / "models" / missing)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "receiver"))
    run_here(SECRET, received, report=False)
    assert read_secret(Layout(received)).key != theirs.key
    after = _private_weights(received)
    assert [model for model in before if after[model] != before[model]] == [missing]  # their secret would repeat it
    assert json.loads((received / "run.json").read_text())["private_draws_before"] is True


def test_a_run_without_private_models_has_no_secret(tmp_path: Path) -> None:
    run_here(small(splits=1, defenses=[], **QUICK), tmp_path / "run", report=False)
    assert not (tmp_path / "run" / FILE).exists()


def test_a_privacy_seed_is_a_whole_number() -> None:
    with pytest.raises(InputError, match="privacy_seed"):
        parse_config(small(privacy_seed="secret"))
