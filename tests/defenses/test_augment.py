"""Augmentation: every policy does what its name says, and the condition is folded out of the network that is kept."""

from pathlib import Path

import numpy as np
import pytest
import torch

from leakfront.defenses import TrainingSet, TrainingSetup
from leakfront.defenses.augment import Augment
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.defenses.training.augment_conditioning import AUGMENTATIONS, condition, conditioned_loss, fold
from leakfront.defenses.training.plain_step import PlainStep
from leakfront.errors import InputError
from leakfront.models.unet import UNet
from tests import oracle_targets as oracle
from tests.harness.training.test_training import Killed, run

CONDITIONED = Augment(conditioned=True, probability=0.5)
PIXELS = 2


def digits(count: int) -> torch.Tensor:
    return torch.as_tensor(oracle.digits()[:count]).float() / 127.5 - 1


def setup(conditional: bool = False, size: int = 8) -> TrainingSetup:
    # two channels in each group of the normalization: with one, it would remove the embeddings
    model = UNet(channels=(16, 16), head_channels=8, conditional=conditional).build((1, 8, size), 10, 0)
    images = np.zeros((20, 1, 8, size), np.uint8)
    data = TrainingSet(images, np.zeros(20, np.int64), np.arange(20))
    return TrainingSetup(
        network=model.network, loss=model.loss(), dataset=data, public=data, expected_size=20.0, steps=10,
        batch_size=4, learning_rate=1e-3, ema_decay=0.9, make_step=PlainStep,
    )  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [{}, {"probability": 0.4}, {"shift": 2, "flip": True}, {"rotate": 20.0, "brightness": 0.3, "probability": 0.7}],
    ids=str,
)
def test_the_basic_policy_is_bit_for_bit_what_it_was(settings) -> None:
    """A transcription of the first version, on which published results are based."""
    from torchvision.transforms import v2

    batch = digits(40)
    policy = []
    if shift := settings.get("shift", 1):
        policy.append(v2.RandomCrop((8, 8), padding=shift, padding_mode="edge"))
    if settings.get("flip"):
        policy.append(v2.RandomHorizontalFlip(0.5))
    if settings.get("rotate"):
        policy.append(v2.RandomRotation(settings["rotate"], interpolation=v2.InterpolationMode.BILINEAR))
    if settings.get("brightness"):
        policy.append(v2.ColorJitter(brightness=settings["brightness"]))
    transform = v2.Compose(policy)
    torch.manual_seed(11)
    chosen = torch.rand(40, generator=torch.Generator().manual_seed(5)) < settings.get("probability", 1.0)
    expected = torch.stack(
        [transform((image + 1) / 2) * 2 - 1 if c else image for image, c in zip(batch, chosen, strict=True)]
    )
    torch.manual_seed(11)
    found = Augment(**settings).augment(batch, torch.Generator().manual_seed(5))
    assert torch.equal(found, expected)
    assert not torch.equal(found, batch)


def test_randaugment_is_torchvisions_on_8_bit_images() -> None:
    from torchvision.transforms import v2

    torch.manual_seed(3)
    found = Augment(policy="randaugment", operations=3, magnitude=12).augment(digits(30), torch.Generator())
    torch.manual_seed(3)
    transform = v2.RandAugment(3, 12)
    expected = torch.stack([transform(torch.as_tensor(image)) for image in oracle.digits()[:30]])
    torch.testing.assert_close(found, expected.float() / 127.5 - 1, rtol=0, atol=1e-6)
    assert (found != digits(30)).flatten(1).any(1).float().mean() > 0.5


def test_cutout_makes_one_grey_square_of_that_area_anywhere() -> None:
    image = torch.full((1, 3, 8, 8), 0.75)
    torch.manual_seed(0)
    found = Augment(policy="cutout", area=0.25).augment(image.repeat(400, 1, 1, 1), torch.Generator().manual_seed(0))
    grey = (found == 0).all(1)
    assert torch.equal(grey, (found == 0).any(1))
    torch.testing.assert_close(found[(~grey)[:, None].expand_as(found)].unique(), torch.tensor([0.75]))
    assert set(grey.sum((1, 2)).tolist()) == {16}
    assert set(grey.any(1).sum(1).tolist()) == set(grey.any(2).sum(1).tolist()) == {4}
    assert len({g.numpy().tobytes() for g in grey}) == 25  # all positions


@pytest.mark.parametrize("policy", ["randaugment", "cutout"])
def test_every_policy_changes_the_share_of_images_that_its_probability_states(policy) -> None:
    batch = digits(600).clamp(-0.9, 0.9)  # no pixel at the ends, so every operation changes something
    torch.manual_seed(0)
    found = Augment(policy=policy, probability=0.3, operations=6 if policy == "randaugment" else 2).augment(
        batch, torch.Generator().manual_seed(0)
    )
    share = (found != batch).flatten(1).any(1).float().mean()
    assert abs(share - 0.3) < 0.06


def test_mixup_mixes_the_chosen_images_with_another_in_one_proportion_of_the_batch() -> None:
    batch, proportions = digits(40), []
    for seed in range(200):
        torch.manual_seed(seed)
        found = Augment(policy="mixup", probability=0.5, alpha=2.0).augment(batch, torch.Generator().manual_seed(seed))
        other = batch.roll(1, 0)
        changed = (found != batch).flatten(1).any(1)
        assert 5 < changed.sum() < 35
        own = ((found - other)[changed] * (batch - other)[changed]).sum() / (batch - other)[changed].square().sum()
        torch.testing.assert_close(found[changed], (own * batch + (1 - own) * other)[changed], rtol=0, atol=1e-5)
        proportions.append(own.item())
    assert 0 < min(proportions) < max(proportions) < 1
    assert np.mean(proportions) == pytest.approx(0.5, abs=0.06)
    assert np.var(proportions) == pytest.approx(1 / 20, rel=0.3)  # the variance of Beta(2, 2)
    assert torch.equal(Augment(policy="mixup").augment(batch[:1], torch.Generator()), batch[:1])


@pytest.mark.parametrize("order", [1, -1])
def test_mixing_images_is_refused_under_dp_sgd(order) -> None:
    made = setup()
    for defense in (Augment(policy="mixup"), DPSGD(accountant="rdp", batch_size=4, steps=10))[::order]:
        made = defense.training(made)
    with pytest.raises(InputError, match="dp_sgd cannot be stacked with an augmentation that mixes images"):
        made.make_step(made)


def test_each_discrete_augmentation_is_what_its_name_says() -> None:
    image = np.random.default_rng(0).random((3, 6, 6), np.float32)

    def edge(image: np.ndarray, up: int, left: int) -> np.ndarray:
        padded = np.pad(image, ((0, 0), (PIXELS, PIXELS), (PIXELS, PIXELS)), mode="edge")
        return padded[:, PIXELS + up : PIXELS + up + 6, PIXELS + left : PIXELS + left + 6]

    expected = {
        "none": image,
        "mirrored": image[:, :, ::-1],
        "turned left": np.rot90(image, 1, (1, 2)),
        "upside down": image[:, ::-1, ::-1],
        "turned right": np.rot90(image, -1, (1, 2)),
        "moved left": edge(image, 0, PIXELS),
        "moved right": edge(image, 0, -PIXELS),
        "moved up": edge(image, PIXELS, 0),
        "moved down": edge(image, -PIXELS, 0),
    }
    assert list(expected) == list(AUGMENTATIONS)
    for name, change in AUGMENTATIONS.items():
        np.testing.assert_array_equal(change(torch.as_tensor(image)[None], PIXELS)[0].numpy(), expected[name])
    assert len({image.tobytes() for image in expected.values()}) == 9


def test_the_network_gets_the_augmentation_as_a_condition_with_the_stated_probability() -> None:
    conditions: list[torch.Tensor] = []
    shown: list[torch.Tensor] = []
    own_labels = torch.arange(4000) % 7

    def network(x_t, timesteps, classes, return_dict=True):
        conditions.append(classes)
        return (x_t,)

    def loss(network, images, labels, generator):
        shown.append(images)
        assert torch.equal(labels, own_labels)
        (output,) = network(images, torch.zeros(len(images)), None, return_dict=False)
        return output.flatten(1).sum(1)

    images = digits(1000).repeat(4, 1, 1, 1)
    conditioned_loss(loss, 0.4, 1)(network, images, own_labels, torch.Generator().manual_seed(0))
    for image, index, seen in zip(images, conditions[0], shown[0], strict=True):
        change = list(AUGMENTATIONS.values())[int(index)]
        assert torch.equal(seen, change(image[None], 1)[0])
    counts = np.bincount(conditions[0].numpy(), minlength=9) / 4000
    assert abs(counts[0] - 0.6) < 0.03
    assert abs(counts[1:] - 0.05).max() < 0.015
    assert CONDITIONED.augment(images, torch.Generator()) is images  # the loss augments, so the batch stays as it is


def test_the_folded_network_equals_the_conditioned_one_under_the_condition_none(tmp_path: Path) -> None:
    torch.manual_seed(1)
    made = CONDITIONED.training(setup())
    torch.nn.init.normal_(made.network.class_embedding.weight)
    x, t = torch.randn(5, 1, 8, 8, dtype=torch.float64), torch.tensor([0, 10, 300, 700, 999])
    network = made.network.eval().requires_grad_(False).double()
    none, mirrored = (network(x, t, torch.full((5,), index)).sample for index in (0, 1))
    kept = made.finish(network)
    assert (kept(x, t).sample - none).abs().max() < 1e-12
    assert (mirrored - none).abs().max() > 1e-2
    model = UNet(channels=(16, 16), head_channels=8).build((1, 8, 8), 10, 1)
    assert set(kept.state_dict()) == set(model.network.state_dict())
    model.network = kept.float()
    model.save(tmp_path / "model")
    loaded = UNet().load(tmp_path / "model")
    assert loaded.classes == 0
    assert (loaded.predict_noise(x.float(), t) - none).abs().max() < 1e-5


def test_the_conditioned_network_starts_as_the_undefended_one() -> None:
    x, t = torch.randn(3, 1, 8, 8), torch.tensor([0, 500, 999])
    undefended = setup().network(x, t).sample
    network = condition(setup().network, (20, 1, 8, 8))
    for index in range(9):
        torch.testing.assert_close(network(x, t, torch.full((3,), index)).sample, undefended)
    torch.testing.assert_close(fold(network)(x, t).sample, undefended)


def test_the_embeddings_of_the_augmentations_are_trained() -> None:
    made = CONDITIONED.training(setup())
    step = made.make_step(made)
    step.update(digits(16), torch.zeros(16, dtype=torch.long), torch.Generator().manual_seed(0))
    assert (made.network.class_embedding.weight != 0).any(1).sum() > 3


STACKS = [
    (CONDITIONED,),
    (CONDITIONED, DPSGD(epsilon=5, noise_multiplicity=2, accountant="rdp")),
    (Augment(policy="randaugment"),),
    (Augment(policy="cutout", probability=0.5),),
]


@pytest.mark.parametrize("stack", STACKS, ids=["conditioned", "conditioned-dp_sgd", "randaugment", "cutout"])
def test_a_run_that_is_killed_and_resumed_equals_an_uninterrupted_run_bit_for_bit(stack, tmp_path: Path) -> None:
    whole, expected = run(tmp_path / "whole", stack, steps=6)
    with pytest.raises(Killed):
        run(tmp_path / "broken", stack, kill_at=4, steps=6)
    resumed, found = run(tmp_path / "broken", stack, steps=6)
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert resumed.losses == whole.losses
    assert resumed.model_calls == whole.model_calls
    plain = run(tmp_path / "plain", stack[1:], steps=6)[1]
    assert set(found) == set(plain)
    assert any(not torch.equal(found[key], plain[key]) for key in plain)


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: Augment(policy="cutmix"), "augment.policy is 'cutmix'"),  # type: ignore[arg-type]
        (lambda: Augment(policy="cutout", rotate=5.0), "augment.rotate is set, but belongs to policy 'basic'"),
        (lambda: Augment(area=0.1), "augment.area is set, but belongs to policy 'cutout'"),
        (lambda: Augment(policy="cutout", area=0.6), "augment.area is 0.6"),
        (lambda: Augment(policy="mixup", alpha=0.0), "augment.alpha is 0.0"),
        (lambda: Augment(policy="randaugment", magnitude=31), "augment.magnitude is 31"),
        (lambda: Augment(policy="randaugment", operations=0), "augment.operations is 0"),
        (lambda: Augment(conditioned=True), "augment.probability is 1"),
        (lambda: Augment(conditioned=True, probability=0.5, policy="cutout"), "augment.policy is 'cutout'"),
        (lambda: Augment(conditioned=True, probability=0.5, flip=True), "augment.flip is set"),
        (lambda: Augment(conditioned=True, probability=0.5, shift=0), "augment.shift is 0"),
        (lambda: CONDITIONED.training(setup(conditional=True)), "already conditioned on classes"),
        (lambda: CONDITIONED.training(CONDITIONED.training(setup())), "already conditioned on classes"),
        (lambda: CONDITIONED.training(setup(size=16)), "must be square"),
    ],
)
def test_wrong_parameters_and_stacks_are_refused(attempt, words: str) -> None:
    with pytest.raises(InputError, match=words):
        attempt()
