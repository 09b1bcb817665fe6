"""The training loop: a resumed training equals one that was never stopped; non-finite values are noticed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from leakfront.defenses import Defense, TrainingSet
from leakfront.defenses.augment import Augment
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.defenses.early_stop import EarlyStop
from leakfront.defenses.none import NoDefense
from leakfront.errors import DivergedError
from leakfront.harness.settings import sections
from leakfront.harness.stages.probe import InBatches
from leakfront.harness.training import loop
from leakfront.harness.training.checkpoint import load_checkpoint, save_checkpoint
from leakfront.harness.training.loop import Snapshot, Trained, TrainingRun, train
from leakfront.harness.training.state import Checkpoints
from leakfront.models import DiffusionModel
from leakfront.models.unet import UNet
from tests import oracle_targets as oracle


class Killed(BaseException):
    """Stands for a kill; no code may catch it."""


def run(
    folder: Path,
    stack: tuple[Defense, ...],
    kill_at: int | None = None,
    dropout: float = 0.1,
    snapshots: frozenset[int] = frozenset(),
    keep: Snapshot = lambda *_: None,
    checkpoint_seconds: float = 0.0,
    **settings: float,
) -> tuple[Trained, dict[str, torch.Tensor]]:
    model = UNet(channels=(8, 8), head_channels=8, dropout=dropout).build((1, 8, 8), 10, 3)
    images = oracle.digits()[:40]
    data = TrainingSet(images, np.zeros(40, np.int64), np.arange(40))
    public = TrainingSet(oracle.digits()[100:140], np.zeros(40, np.int64), np.full(40, -1))
    budget = {"steps": 10, "batch_size": 8, "learning_rate": 1e-3, "ema_decay": 0.9, **settings}
    training = TrainingRun(sections.Training(**budget), stack, seed=7, privacy_key=b"k" * 32, snapshots=snapshots)  # type: ignore[arg-type]

    def progress(done: int, total: int, numbers: dict[str, float]) -> None:
        if done == kill_at:
            raise Killed

    trained = train(model, data, public, 40.0, training, Checkpoints(folder, "key", checkpoint_seconds), progress, keep)
    return trained, model.network.state_dict()


PRIVATE = DPSGD(epsilon=5, noise_multiplicity=2, accountant="rdp")


@pytest.mark.parametrize("stack", [(NoDefense(),), (Augment(),), (PRIVATE,)], ids=str)
def test_a_killed_and_resumed_training_equals_one_that_was_never_stopped_bit_for_bit(stack, tmp_path: Path) -> None:
    whole, expected = run(tmp_path / "whole", stack)
    with pytest.raises(Killed):
        run(tmp_path / "broken", stack, kill_at=4)
    with pytest.raises(Killed):
        run(tmp_path / "broken", stack, kill_at=7)
    resumed, found = run(tmp_path / "broken", stack)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert resumed.losses == whole.losses
    assert resumed.report == whole.report
    assert resumed.model_calls == whole.model_calls
    assert resumed.guarantee == whole.guarantee


def test_a_training_really_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path / "broken", (NoDefense(),), kill_at=7)
    state = load_checkpoint(tmp_path / "broken", "key")
    assert state is not None
    assert state["done"] == 7
    state["network"] = {key: torch.zeros_like(value) for key, value in state["network"].items()}
    save_checkpoint(tmp_path / "broken", "key", state)
    assert run(tmp_path / "broken", (NoDefense(),))[0].losses != run(tmp_path / "other", (NoDefense(),))[0].losses


def test_images_become_floats_one_batch_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    known = loop.to_unit_range
    monkeypatch.setattr(loop, "to_unit_range", lambda images: (sizes.append(len(images)), known(images))[1])
    run(tmp_path, (NoDefense(),), steps=2)
    assert sizes == [8, 8]


def test_a_model_is_shown_images_one_slice_at_a_time() -> None:
    images = oracle.digits()[:5]
    shown = InBatches(images, "cpu")
    assert len(shown) == 5
    assert torch.equal(shown[slice(2, 9)], loop.to_unit_range(images)[2:])


def test_a_checkpoint_of_other_settings_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        run(tmp_path, (NoDefense(),), kill_at=7)
    assert load_checkpoint(tmp_path, "another key") is None


def test_a_checkpoint_holds_every_type_of_training_state(tmp_path: Path) -> None:
    state = {"a": torch.arange(3), "b": {0: {"step": torch.tensor(2.0)}, "n": 1.5, "none": None}, "c": [(1, "x"), True]}
    save_checkpoint(tmp_path / "c", "k", state)
    found = load_checkpoint(tmp_path / "c", "k")
    assert found is not None
    assert torch.equal(found.pop("a"), state.pop("a"))
    assert torch.equal(found["b"][0].pop("step"), torch.tensor(2.0))
    assert found == {"b": {0: {}, "n": 1.5, "none": None}, "c": [(1, "x"), True]}
    with pytest.raises(TypeError, match="cannot hold a set"):
        save_checkpoint(tmp_path / "c", "k", {"s": {1}})


def test_trained_weights_are_the_moving_average(tmp_path: Path) -> None:
    slow, fast = (run(tmp_path / str(d), (NoDefense(),), ema_decay=d, dropout=0)[1] for d in (0.999, 0.0))
    assert any(not torch.equal(slow[key], fast[key]) for key in slow)
    repeat = run(tmp_path / "again", (NoDefense(),), ema_decay=0.0, dropout=0)[1]
    assert all(torch.equal(repeat[key], fast[key]) for key in fast)


def test_early_stop_is_the_beginning_of_the_undefended_run(tmp_path: Path) -> None:
    short, _ = run(tmp_path / "a", (EarlyStop(steps=4),))
    same, _ = run(tmp_path / "b", (NoDefense(),), steps=4)
    assert short.steps == 4
    assert short.losses == same.losses


Kept = dict[int, tuple[dict[str, torch.Tensor], Trained]]


def keeping(kept: Kept) -> Snapshot:
    """A function that records the snapshots of a training."""

    def keep(steps: int, model: DiffusionModel, trained: Trained) -> None:
        assert model.network is not None
        kept[steps] = {key: value.clone() for key, value in model.network.state_dict().items()}, trained

    return keep


@pytest.mark.parametrize("stack", [(NoDefense(),), (Augment(),)], ids=str)
def test_a_snapshot_equals_the_shorter_training_bit_for_bit(
    stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # so that the longest training has an entry for every other step
    monkeypatch.setattr("leakfront.harness.training.state.ENTRIES", 5)
    kept: Kept = {}
    seldom = {"checkpoint_seconds": 3600.0}
    long, weights = run(tmp_path / "long", stack, steps=12, snapshots=frozenset({4, 9}), keep=keeping(kept), **seldom)
    assert set(kept) == {4, 9}
    assert len(long.losses) == 6
    for steps, (found, trained) in kept.items():
        alone, expected = run(tmp_path / str(steps), stack, steps=steps, **seldom)
        assert all(torch.equal(found[key], expected[key]) for key in expected)
        assert (trained.steps, trained.model_calls, trained.losses) == (steps, alone.model_calls, alone.losses)
        assert 0 < trained.seconds < long.seconds
    alone, expected = run(tmp_path / "alone", stack, steps=12, **seldom)
    assert all(torch.equal(weights[key], expected[key]) for key in expected)
    assert (long.model_calls, long.losses) == (alone.model_calls, alone.losses)


def test_snapshots_after_a_kill_equal_those_of_a_training_that_was_never_stopped(tmp_path: Path) -> None:
    whole: Kept = {}
    resumed: Kept = {}
    settings = {"steps": 12, "snapshots": frozenset({3, 9})}
    run(tmp_path / "whole", (NoDefense(),), keep=keeping(whole), **settings)  # type: ignore[arg-type]
    with pytest.raises(Killed):
        run(tmp_path / "broken", (NoDefense(),), kill_at=5, keep=keeping(resumed), **settings)  # type: ignore[arg-type]
    assert set(resumed) == {3}
    run(tmp_path / "broken", (NoDefense(),), keep=keeping(resumed), **settings)  # type: ignore[arg-type]
    for steps in (3, 9):
        assert all(torch.equal(resumed[steps][0][key], whole[steps][0][key]) for key in whole[steps][0])
        assert resumed[steps][1].losses == whole[steps][1].losses


def test_counts_every_image_that_passed_through_the_network(tmp_path: Path) -> None:
    assert run(tmp_path / "a", (NoDefense(),))[0].model_calls == 10 * 8
    private, _ = run(tmp_path / "b", (DPSGD(epsilon=5, noise_multiplicity=3, accountant="rdp"),))
    assert private.model_calls == pytest.approx(3 * 10 * private.report["mean_batch_size"])


def test_training_that_diverges_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(DivergedError) as caught:
        run(tmp_path, (NoDefense(),), learning_rate=1e30, steps=50)
    assert 1 <= caught.value.step <= 50
