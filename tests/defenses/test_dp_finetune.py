"""Fine-tuning with DP-SGD: the public pretraining, the private adapters, and the network that is kept."""

import importlib.util
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from leakfront.defenses import Defense, TrainingSet, TrainingSetup
from leakfront.defenses.capacity import Capacity
from leakfront.defenses.dp_finetune import DPFinetune, refuse_overlap
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.defenses.training.book_keeping import BookKeeping, convolution
from leakfront.defenses.training.plain_step import PlainStep
from leakfront.errors import DivergedError, InputError
from leakfront.harness.settings.sections import Training
from leakfront.harness.training.loop import Trained, TrainingRun, to_unit_range, train
from leakfront.harness.training.state import Checkpoints
from leakfront.models import DiffusionModel
from leakfront.models.unet import UNet
from tests import oracle_targets as oracle
from tests.defenses.test_dp_sgd import batch, gradient_of, keyed_loss, unet

RUN = {"epsilon": 5, "accountant": "rdp"}  # one account for all runs, since its noise takes longer to find than a run
SMALL = UNet(channels=(8, 16), head_channels=8, attention=(1,), dropout=0.1, conditional=True)


def images_of(first: int, last: int, pool_index: int | None = None) -> TrainingSet:
    images = oracle.digits()[first:last]
    index = np.arange(len(images)) if pool_index is None else np.full(len(images), pool_index)
    return TrainingSet(images, np.arange(len(images)) % 10, index)


def setup_of(network: nn.Module, loss=keyed_loss, **changes) -> TrainingSetup:
    base = TrainingSetup(
        network=network, loss=loss, dataset=images_of(0, 100), public=images_of(100, 140, -1), expected_size=100.0,
        steps=50, batch_size=10, learning_rate=1e-3, ema_decay=0.9, make_step=PlainStep, seed=3,
    )  # fmt: skip
    return replace(base, **changes)


def step_of(defense: DPFinetune, network: nn.Module | None = None, sigma: float | None = None, **changes):
    """The private step after the pretraining, and the setup."""
    setup = defense.training(setup_of(network or unet(), **changes))
    step = setup.make_step(setup)
    if sigma is not None:
        step._private.optimizer.noise_multiplier = sigma
    return step, setup


def run(
    folder: Path, stack: tuple[Defense, ...], kill_at: int | None = None, private: TrainingSet | None = None,
    unet: UNet = SMALL, **settings: float,
) -> tuple[Trained, DiffusionModel]:  # fmt: skip
    model = unet.build((1, 8, 8), 10, 3)
    budget = Training(**{"steps": 5, "batch_size": 8, "learning_rate": 1e-3, "ema_decay": 0.9, **settings})  # type: ignore[arg-type]

    def progress(done: int, total: int, numbers: dict[str, float]) -> None:
        if done == kill_at:
            raise KeyboardInterrupt

    private, checkpoints = private or images_of(0, 60), Checkpoints(folder, "key", 0.0)
    public = images_of(100, 160, -1)
    training = TrainingRun(budget, stack, seed=7, privacy_key=b"k" * 32)
    return train(model, private, public, 60.0, training, checkpoints, progress), model


def trainable(network: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in network.named_parameters() if p.requires_grad}


# Pretraining


def test_pretraining_is_undefended_training_on_the_public_images_alone():
    defense = DPFinetune(pretrain_steps=5, pretrain_batch_size=7, pretrain_learning_rate=1e-2, accountant="rdp")
    seen = set()

    def loss(network, images, labels, generator):
        seen.update((image.numpy().tobytes(), int(label)) for image, label in zip(images, labels, strict=True))
        return keyed_loss(network, images, labels % 4, generator)

    _, setup = step_of(defense, loss=loss)
    public = {
        (image.numpy().tobytes(), int(label))
        for image, label in zip(to_unit_range(setup.public.images), setup.public.labels, strict=True)
    }
    assert 7 < len(seen) <= 35
    assert seen <= public
    _, other = step_of(defense, loss=loss, dataset=images_of(200, 270))
    assert all(torch.equal(a, b) for a, b in zip(setup.network.parameters(), other.network.parameters(), strict=True))
    _, seeded = step_of(defense, loss=loss, seed=4)
    assert not all(
        torch.equal(a, b) for a, b in zip(setup.network.parameters(), seeded.network.parameters(), strict=True)
    )


def test_pretraining_learns_to_denoise_what_it_never_saw():
    def held_out_loss(network):
        images = to_unit_range(oracle.digits()[300:400])
        with torch.no_grad():
            return float(keyed_loss(network, images, torch.zeros(100, dtype=torch.long), None).mean())

    _, setup = step_of(DPFinetune(pretrain_steps=80, accountant="rdp"), loss=_first_class, learning_rate=5e-3)
    assert held_out_loss(setup.network) < 0.7 * held_out_loss(unet())


def _first_class(network, images, labels, generator):
    return keyed_loss(network, images, torch.zeros_like(labels), generator)


def test_the_private_part_and_its_average_start_from_the_pretrained_weights(tmp_path: Path):
    defense = DPFinetune(pretrain_steps=3, pretrain_learning_rate=1e-3, learning_rate=1e-12, **RUN)
    _, model = run(tmp_path / "a", (defense,))
    _, same = run(tmp_path / "b", (defense,), private=images_of(200, 260))
    _, longer = run(tmp_path / "c", (replace(defense, pretrain_steps=4),))
    fresh = SMALL.build((1, 8, 8), 10, 3)
    for name, value in model.parameters().items():
        torch.testing.assert_close(value, same.parameters()[name], rtol=0, atol=1e-9)
    assert max(float((v - longer.parameters()[n]).abs().max()) for n, v in model.parameters().items()) > 1e-4
    assert max(float((v - fresh.parameters()[n]).abs().max()) for n, v in model.parameters().items()) > 1e-3


def test_pretraining_that_diverges_is_noticed():
    with pytest.raises(DivergedError):
        step_of(DPFinetune(pretrain_steps=50, pretrain_learning_rate=1e30, accountant="rdp"), loss=_first_class)


def test_public_images_that_are_in_the_training_set_are_counted_and_refused():
    private, public = images_of(0, 100), images_of(97, 140, -1)
    with pytest.raises(InputError, match="3 of the 43 public images are in the training set"):
        DPFinetune().training(setup_of(unet(), dataset=private, public=public))
    refuse_overlap(public.select(np.arange(3, 43)), private)
    nearly = public.images.copy()
    nearly[:, 0, 0, 0] ^= 1  # a copy that differs in one bit is not detected, as documented
    refuse_overlap(replace(public, images=nearly), private)


def test_public_images_are_needed():
    with pytest.raises(InputError, match="needs public images"):
        DPFinetune().training(setup_of(unet(), public=images_of(0, 0)))


def test_a_network_that_cannot_be_trained_privately_is_refused_before_the_pretraining():
    def loss(network, images, labels, generator):
        raise AssertionError("pretrained")

    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    with pytest.raises(InputError, match=r"dp_finetune: '1' is a BatchNorm"):
        step_of(DPFinetune(), network, loss=loss)
    with pytest.raises(InputError, match=r"dp_finetune\.epsilon is 0\.01"):
        step_of(DPFinetune(epsilon=0.01, accountant="rdp"), loss=loss)


# The adapters


def adapted_step(**parameters):
    """A step with rank-2 adapters, no noise, and factors B that are no longer zero."""
    step, setup = step_of(
        DPFinetune(pretrain_steps=1, lora_rank=2, accountant="rdp", **parameters), sigma=0.0, loss=_modulo
    )
    torch.manual_seed(5)
    for name, parameter in trainable(setup.network).items():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.1)
    return step._private, setup


def _modulo(network, images, labels, generator):
    return keyed_loss(network, images, labels % 4, generator)


def one_by_one(network, images, labels) -> list[dict[str, torch.Tensor]]:
    found = []
    for i in range(len(images)):
        network.zero_grad()
        keyed_loss(network, images[i : i + 1], labels[i : i + 1], None).sum().backward()
        found.append({name: p.grad.clone() for name, p in trainable(network).items()})
    network.zero_grad(set_to_none=True)
    return found


def test_adapters_sit_on_every_linear_layer_and_convolution_and_nothing_else_is_trained():
    plain = unet()
    layers = {name for name, module in plain.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    _, setup = adapted_step()
    names = set(trainable(setup.network))
    assert names == {f"{layer}.lora_{factor}.default.weight" for layer in layers for factor in "AB"}
    assert any(isinstance(plain.get_submodule(layer), nn.Conv2d) for layer in layers)
    assert any("to_q" in layer for layer in layers)


def test_per_image_gradients_of_adapters_are_those_of_one_by_one_backpropagation():
    _, setup = adapted_step()
    images, labels = batch(5)
    with BookKeeping(setup.network) as book:
        book.backward(keyed_loss(setup.network, images, labels, None))
        by_image = [book.weighted_sums(only) for only in torch.eye(5)]
        found = {name: [sums[p] for sums in by_image] for name, p in trainable(setup.network).items()}
    truth = one_by_one(setup.network, images, labels)
    lengths = {name: float(truth[0][name].norm()) for name in found}
    # all but a few, such as attention's keys
    assert sum(length > 1e-5 for length in lengths.values()) > 0.9 * len(lengths)
    for i in range(5):
        for name, samples in found.items():
            torch.testing.assert_close(samples[i], truth[i][name], rtol=1e-4, atol=2e-6, msg=lambda m, n=name: n + m)


@pytest.mark.parametrize("clipping", ["flat", "per_layer"])
def test_no_image_moves_the_sum_over_all_adapters_by_more_than_the_bound(clipping):
    bound, images, labels = 0.05, *batch(4)

    def clipped_sum(kept):
        step, setup = adapted_step(max_grad_norm=bound, clipping=clipping)
        gradient = 10 * gradient_of(step, images[kept], labels[kept])
        assert len(gradient) == sum(p.numel() for p in trainable(setup.network).values())
        return gradient

    everyone = clipped_sum([0, 1, 2, 3])
    for left_out in range(4):
        moved = (everyone - clipped_sum([i for i in range(4) if i != left_out])).norm()
        assert bound * (0.99 if clipping == "flat" else 0.5) < moved <= bound * 1.0001


def test_a_broken_first_factor_is_noticed_as_soon_as_it_has_a_gradient(monkeypatch):
    right = convolution.per_example

    def doubled(calls, workspace, form):
        found = right(calls, workspace, "kept")
        for gradients in found:
            if calls[0].layer.out_channels == 2:  # 2 is the rank, so these are first factors
                gradients.gradients = gradients.gradients * 2
        return found

    step, _ = step_of(DPFinetune(pretrain_steps=1, lora_rank=2, accountant="rdp"), sigma=0.0, loss=_modulo)
    monkeypatch.setattr(convolution, "per_example", doubled)
    step.update(*batch(4), torch.Generator())  # here all second factors are zero
    with pytest.raises(InputError, match=r"lora_A.*do not add up"):
        step.update(*batch(4), torch.Generator())


def test_merged_adapters_leave_an_ordinary_network_that_computes_the_same():
    step, setup = adapted_step()
    step.update(*batch(4), torch.Generator())
    images, labels = batch(6)
    network = setup.network.eval()
    with torch.no_grad():
        before = keyed_loss(network, images, labels, None)
        merged = setup.finish(network)
        torch.testing.assert_close(keyed_loss(merged, images, labels, None), before, rtol=1e-4, atol=1e-5)
    assert type(merged) is type(unet())
    assert {n: v.shape for n, v in merged.state_dict().items()} == {n: v.shape for n, v in unet().state_dict().items()}
    assert not hasattr(merged, "peft_config")
    assert not any("peft" in type(module).__module__ for module in merged.modules())


def test_the_saved_model_is_a_plain_unet_in_which_only_adapted_weights_changed(tmp_path: Path):
    defense = DPFinetune(pretrain_steps=3, lora_rank=2, **RUN)
    _, model = run(tmp_path / "a", (defense,))
    _, still = run(tmp_path / "b", (replace(defense, learning_rate=1e-12),))
    model.save(tmp_path / "model")
    loaded = SMALL.load(tmp_path / "model").parameters()
    assert loaded.keys() == SMALL.build((1, 8, 8), 10, 3).parameters().keys()
    modules = dict(model.network.named_modules())
    for name, value in still.parameters().items():
        layer, _, kind = name.rpartition(".")
        adapted = isinstance(modules[layer], nn.Linear | nn.Conv2d) and kind == "weight"
        assert torch.equal(loaded[name], model.parameters()[name])
        assert torch.equal(loaded[name], value) != adapted, name


def test_adapters_without_peft_are_refused_in_one_sentence(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "peft" else find(name, *more))
    with pytest.raises(InputError, match=r"^dp_finetune\.lora_rank needs peft: pip install leakfront\[lora\]$"):
        DPFinetune(lora_rank=4).check(100.0, 10)
    DPFinetune().check(100.0, 10)


def test_adapters_need_layers_that_take_them():
    class Bias(nn.Module):
        def __init__(self):
            super().__init__()
            self.shift = nn.Embedding(1, 1)

        def forward(self, images):
            return images + self.shift(torch.zeros(len(images), dtype=torch.long))[:, :, None, None]

    with pytest.raises(InputError, match="needs a network with linear layers or convolutions"):
        step_of(
            DPFinetune(pretrain_steps=1, lora_rank=1, accountant="rdp"), Bias(),
            loss=lambda network, images, labels, generator: network(images).square().mean(dim=(1, 2, 3)),
        )  # fmt: skip


# Whole runs


@pytest.mark.parametrize("rank", [0, 2])
def test_a_run_that_is_killed_and_resumed_equals_an_uninterrupted_run_bit_for_bit(rank, tmp_path: Path):
    stack = (DPFinetune(pretrain_steps=4, noise_multiplicity=2, lora_rank=rank, **RUN),)
    whole, expected = run(tmp_path / "whole", stack)
    for kill_at in (2, 4):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "broken", stack, kill_at=kill_at)
    resumed, found = run(tmp_path / "broken", stack)
    assert all(torch.equal(value, expected.parameters()[name]) for name, value in found.parameters().items())
    assert resumed.losses == whole.losses
    assert resumed.model_calls == whole.model_calls
    assert resumed.guarantee == whole.guarantee
    assert resumed.report == whole.report


def test_the_pretraining_is_part_of_the_cost(tmp_path: Path):
    trained, _ = run(tmp_path, (DPFinetune(pretrain_steps=6, pretrain_batch_size=5, noise_multiplicity=3, **RUN),))
    assert trained.report["pretrain_model_calls"] == 6 * 5
    assert trained.model_calls == pytest.approx(6 * 5 + 3 * 5 * trained.report["mean_batch_size"])


@pytest.fixture(scope="module")
def by_dp_sgd(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return run(tmp_path_factory.mktemp("dp_sgd"), (DPSGD(**RUN),))[0]


@pytest.mark.parametrize("rank", [0, 2])
def test_the_guarantee_is_that_of_dp_sgd_for_the_private_images(rank, by_dp_sgd: Trained, tmp_path: Path):
    own, _ = run(tmp_path, (DPFinetune(pretrain_steps=1, lora_rank=rank, **RUN),))
    other = by_dp_sgd
    assert own.guarantee is not None
    assert other.guarantee is not None
    assert replace(own.guarantee, unit="") == replace(other.guarantee, unit="")
    assert own.guarantee.unit.startswith("private training image")
    assert own.guarantee.unit.endswith("the public images are not protected")
    assert own.report["noise_multiplier"] == other.report["noise_multiplier"]
    assert 4.9 < own.guarantee.epsilon <= 5


@pytest.mark.parametrize("order", [1, -1])
def test_a_smaller_network_is_what_is_pretrained_whichever_comes_first(order, tmp_path: Path):
    stack = (Capacity(), DPFinetune(pretrain_steps=2, lora_rank=2, **RUN))[::order]
    _, model = run(tmp_path, stack)
    _, alone = run(tmp_path / "alone", (Capacity(),))
    assert {n: v.shape for n, v in model.parameters().items()} == {n: v.shape for n, v in alone.parameters().items()}


def test_cost_counts_both_parts():
    assert DPFinetune(pretrain_steps=500).relative_cost(1000, 64) == DPSGD().relative_cost(1000, 64) + 0.5


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pretrain_steps", 0),
        ("pretrain_learning_rate", math.nan),
        ("pretrain_batch_size", 0),
        ("lora_rank", -1),
        ("lora_rank", 1.5),
        ("epsilon", 0.0),
        ("clipping", "ghost"),
    ],
)
def test_a_wrong_parameter_is_named(key, value):
    with pytest.raises(InputError, match=rf"dp_finetune\.{key}"):
        DPFinetune(**{key: value})
