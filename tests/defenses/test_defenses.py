"""Every registered defense passes these tests; most defenses also have a file of their own."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from leakfront import defenses
from leakfront.defenses import Defense, TrainingSet, TrainingSetup
from leakfront.defenses.augment import Augment
from leakfront.defenses.capacity import Capacity
from leakfront.defenses.dedup import Dedup, pair_precision_recall
from leakfront.defenses.early_stop import EarlyStop
from leakfront.defenses.regularize import Regularize
from leakfront.defenses.training.plain_step import PlainStep
from leakfront.errors import InputError
from leakfront.models.unet import UNet
from leakfront.registry import Registry
from leakfront.testing import check_defense
from tests import oracle_targets as oracle

DEFENSES = defenses.registry.names()
RDP = {"accountant": "rdp"}  # the quicker one
SHORT = {"dp_sgd": RDP, "dp_finetune": {"pretrain_steps": 2, **RDP}}  # for seconds instead of minutes


def training_set(images: np.ndarray, pool_index: np.ndarray | None = None) -> TrainingSet:
    index = np.arange(len(images)) if pool_index is None else pool_index
    return TrainingSet(images, np.zeros(len(images), np.int64), index)


def setup() -> TrainingSetup:
    model = UNet(channels=(8, 8), head_channels=8).build((1, 8, 8), 10, 0)
    return TrainingSetup(
        network=model.network, loss=model.loss(), dataset=training_set(oracle.digits()[:64]),
        public=training_set(oracle.digits()[100:164], np.full(64, -1)), expected_size=64.0, steps=100, batch_size=8,
        learning_rate=1e-3, ema_decay=0.9, make_step=PlainStep,
    )  # fmt: skip


@pytest.mark.parametrize("name", DEFENSES)
def test_every_defense_keeps_to_the_contract(name: str) -> None:
    plugin: type[Defense] = defenses.registry.get(name)
    check_defense(plugin(**SHORT.get(name, {})))


@pytest.mark.parametrize("name", [name for name in DEFENSES if not defenses.registry.get(name).needs_captions])
def test_only_private_training_has_a_guarantee(name: str) -> None:
    changed = defenses.registry.get(name)(**SHORT.get(name, {})).training(setup())
    step = changed.make_step(changed)
    step.update(torch.rand(6, 1, 8, 8) * 2 - 1, torch.zeros(6, dtype=torch.long), torch.Generator().manual_seed(0))
    assert (step.guarantee() is None) == (name not in ("dp_sgd", "dp_finetune"))


@pytest.mark.parametrize("name", DEFENSES)
def test_relative_cost_is_a_positive_number(name: str) -> None:
    assert 0 < defenses.registry.get(name)().relative_cost(1000, 64) < 100


@pytest.mark.parametrize("name", DEFENSES)
def test_weights_depend_on_every_defense_except_none_and_the_guards_of_the_sampler(name: str) -> None:
    plugin = defenses.registry.get(name)
    assert plugin().overrides("prepare", "augment", "training") == (plugin.acts_on != "sampling" and name != "none")


def test_a_defense_that_changes_the_training_changes_weights_whatever_it_says_that_it_acts_on() -> None:
    class Guarded(Defense):
        acts_on = "sampling"

        def training(self, setup: TrainingSetup) -> TrainingSetup:
            return setup

    assert Guarded().overrides("training")
    assert not Defense().overrides("prepare", "augment", "training", "guard")


@pytest.mark.parametrize("name", [name for name in DEFENSES if name != "early_stop"])
def test_only_an_early_stop_at_a_fixed_step_is_a_snapshot(name: str) -> None:
    assert defenses.registry.get(name)().snapshot_step(100) is None
    assert EarlyStop(patience=2).snapshot_step(100) is None
    assert EarlyStop(patience=2, steps=30).snapshot_step(100) is None


@pytest.mark.parametrize(
    "defense",
    [EarlyStop(fraction=f) for f in (0.001, 0.25, 1 / 3, 0.5, 0.999, 1.0)]
    + [EarlyStop(steps=s) for s in (1, 7, 99, 100, 700)]
    + [EarlyStop(fraction=0.1, steps=60)],
    ids=str,
)
@pytest.mark.parametrize("steps", [1, 3, 100, 1001])
def test_the_snapshot_is_taken_at_the_last_step_of_the_stopped_training(defense: EarlyStop, steps: int) -> None:
    assert defense.snapshot_step(steps) == defense.training(replace(setup(), steps=steps)).steps


@pytest.mark.parametrize("method", ["exact", "similarity"])
def test_dedup_finds_the_planted_copies_and_nothing_else(method) -> None:
    images = oracle.digits()[:100]
    copies = np.repeat(np.arange(8), 6)
    order = np.random.default_rng(0).permutation(100 + len(copies))
    index = np.concatenate([np.arange(100), copies])[order]
    planted = training_set(images[index], index)
    after = Dedup(method=method, threshold=1.0).prepare(planted)
    assert sorted(after.pool_index) == list(range(100))
    assert after.notes == {"removed": 48.0, "duplicate_precision": 1.0, "duplicate_recall": 1.0}


def test_dedup_by_similarity_finds_copies_that_differ_a_little() -> None:
    images = oracle.digits()[:60]
    noisy = np.clip(images[:10].astype(int) + np.random.default_rng(0).integers(-6, 7, images[:10].shape), 0, 255)
    index = np.concatenate([np.arange(60), np.arange(10)])
    data = training_set(np.concatenate([images, noisy.astype(np.uint8)]), index)
    assert Dedup(method="exact").prepare(data).notes["duplicate_recall"] == 0
    assert Dedup(method="similarity", threshold=0.99).prepare(data).notes["duplicate_recall"] == 1


def test_dedup_clusters_are_connected_components_of_similar_pairs() -> None:
    images = oracle.digits()[:80]
    flat = images.reshape(80, -1).astype(float)
    flat -= flat.mean(1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    similar = flat @ flat.T >= 0.9
    reach = np.linalg.matrix_power(similar.astype(float), 40) > 0
    cluster = Dedup(method="similarity", threshold=0.9).clusters(images)
    np.testing.assert_array_equal(cluster[:, None] == cluster[None], reach)
    assert 1 < len(np.unique(cluster)) < 80


def test_pair_precision_and_recall_count_pairs() -> None:
    cluster, truth = np.array([0, 0, 0, 1, 2]), np.array([0, 0, 1, 1, 2])
    assert pair_precision_recall(cluster, truth) == (1 / 3, 1 / 2)
    assert all(np.isnan(pair_precision_recall(np.arange(3), np.arange(3))))


def test_augment_with_probability_changes_that_share() -> None:
    batch = torch.as_tensor(oracle.digits()[:1000]).float() / 127.5 - 1
    torch.manual_seed(0)
    changed = Augment(probability=0.3).augment(batch, torch.Generator().manual_seed(0))
    share = (changed != batch).flatten(1).any(1).float().mean()
    assert abs(share - 0.3 * 8 / 9) < 0.05  # one of the nine shifts is no shift
    torch.testing.assert_close(Augment(probability=0.0).augment(batch, torch.Generator()), batch, rtol=0, atol=0)


def test_a_shifted_digit_is_the_digit_moved_by_a_pixel() -> None:
    image = torch.as_tensor(oracle.digits()[:1]).float() / 127.5 - 1
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1), mode="replicate")
    moved = [padded[..., y : y + 8, x : x + 8] for y in range(3) for x in range(3)]
    torch.manual_seed(0)
    for _ in range(20):
        found = Augment().augment(image, torch.Generator().manual_seed(0))
        assert any(torch.allclose(found, one, atol=1e-6) for one in moved)


def test_early_stop_stops_at_the_fraction_or_the_step() -> None:
    assert EarlyStop(fraction=0.25).training(setup()).steps == 25
    assert EarlyStop(steps=7).training(setup()).steps == 7
    assert EarlyStop(steps=700).training(setup()).steps == 100


@pytest.mark.parametrize(
    ("build", "key"),
    [
        (lambda: Dedup(threshold=0), "threshold"),
        (lambda: Augment(probability=1.5), "probability"),
        (lambda: Augment(shift=-1), "shift"),
        (lambda: EarlyStop(fraction=0), "fraction"),
        (lambda: EarlyStop(steps=0), "steps"),
    ],
)
def test_a_strength_out_of_range_is_named(build, key: str) -> None:
    with pytest.raises(InputError, match=key):
        build()


@pytest.mark.parametrize(("width", "channels", "groups"), [(1.0, (16, 32), 8), (0.5, (8, 16), 4), (0.25, (4, 8), 2)])
def test_capacity_trains_a_narrower_network_that_plain_diffusers_loads(
    width: float, channels: tuple[int, ...], groups: int, tmp_path: Path
) -> None:
    model = UNet(channels=(16, 32)).build((1, 8, 8), 10, 0)
    changed = Capacity(width=width).training(replace(setup(), network=model.network))
    config = changed.network.config
    assert tuple(config["block_out_channels"]) == channels
    assert config["norm_num_groups"] == groups
    model.network = changed.network.eval()
    model.save(tmp_path)
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([5, 700])
    with torch.no_grad():
        torch.testing.assert_close(UNet().load(tmp_path).predict_noise(x, t), model.predict_noise(x, t))
        early, late = (model.predict_noise(x, torch.full((2,), at)) for at in (5, 700))
    assert not torch.allclose(early, late)  # the time still has an effect


def test_weight_decay_shrinks_weights_and_dropout_is_set_in_training_alone() -> None:
    changed = Regularize(weight_decay=10.0, dropout=0.3).training(setup())
    assert {m.p for m in changed.network.modules() if isinstance(m, torch.nn.Dropout)} == {0.3}
    before = sum(float(p.detach().square().sum()) for p in changed.network.parameters())
    step = changed.make_step(changed)
    images = torch.rand(8, 1, 8, 8) * 2 - 1
    for k in range(3):
        step.update(images, torch.zeros(8, dtype=torch.long), torch.Generator().manual_seed(k))
    after = sum(float(p.detach().square().sum()) for p in changed.network.parameters())
    assert after < before * (1 - 1e-3 * 10) ** 2  # three steps of learning rate x decay, less the growth by Adam
    plain = setup()
    assert plain.weight_decay == 0
    with pytest.raises(InputError, match="no dropout layers"):
        Regularize(dropout=0.1).training(replace(setup(), network=torch.nn.Linear(2, 2)))


def test_the_example_of_a_new_defense_works(monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "CONTRIBUTING.md").read_text()
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "(Defense)" in block]
    registry = Registry("defense", "leakfront.defenses", "leakfront.defenses")
    monkeypatch.setattr(defenses, "register", registry.register)
    exec(compile(code, "CONTRIBUTING.md", "exec"), {"__name__": "example"})
    plugin = registry.get("quantize")
    changed = plugin(levels=2).prepare(training_set(oracle.digits()[:50]))
    assert set(np.unique(changed.images)) == {0, 255}
    with pytest.raises(InputError, match="levels is 1"):
        plugin(levels=1)
