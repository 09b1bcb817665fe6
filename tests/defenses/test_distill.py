"""DistillMD: a teacher is fitted to its own half alone, and the student learns an image from the other teacher."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from leakfront.defenses import TrainingSet, TrainingSetup
from leakfront.defenses.augment import Augment
from leakfront.defenses.capacity import Capacity
from leakfront.defenses.distill import Distill
from leakfront.defenses.dp_sgd import DPSGD
from leakfront.defenses.early_stop import EarlyStop
from leakfront.defenses.training.distill_step import DistillStep, StudentAndTeachers, halves_of
from leakfront.defenses.training.plain_step import PlainStep
from leakfront.errors import InputError
from leakfront.models.unet import UNet
from tests import oracle_targets as oracle
from tests.harness.training.test_training import Killed, run

POOL_INDEX = np.concatenate([np.arange(30), np.repeat(np.arange(5), 4)])  # the first five images have five copies each


DISTILL = (Distill(),)


def moving_average(parameters, decay: float):
    from diffusers.training_utils import EMAModel

    return EMAModel(parameters, decay=decay, foreach=True)


def setup(stack=DISTILL, steps: int = 8, batch_size: int = 6, **unet) -> TrainingSetup:
    """A setup of 50 images with the usual loss, changed by the defenses of the stack."""
    # two channels in each group of the normalization: with one, it would remove the embeddings of time and class
    model = UNet(**{"channels": (16, 16), "head_channels": 8, "dropout": 0.1, **unet}).build((1, 8, 8), 4, 0)
    data = TrainingSet(oracle.digits()[POOL_INDEX], np.arange(50) % 4, POOL_INDEX)
    made = TrainingSetup(
        network=model.network.train(), loss=model.loss(), dataset=data, public=data, expected_size=50.0, steps=steps,
        batch_size=batch_size, learning_rate=1e-2, ema_decay=0.9, make_step=PlainStep, seed=3,
    )  # fmt: skip
    for defense in stack:
        made = defense.training(made)
    return made


def advance(step: DistillStep, made: TrainingSetup, steps: range, after: Callable[[], None] = lambda: None) -> None:
    """Run these steps as the training loop does, without the moving average."""
    images = torch.as_tensor(made.dataset.images).float() / 127.5 - 1
    labels = torch.as_tensor(made.dataset.labels)
    for k in steps:
        generator = torch.Generator().manual_seed(k)
        torch.manual_seed(k)
        indices = step.draw(generator)
        assert np.isfinite(step.update(images[indices], labels[indices], generator))
        after()


def clean_loss(network, images, labels, generator):
    """Calls the network on the clean images, so that a hook can identify them."""
    (output,) = network(images, torch.zeros(len(images), dtype=torch.long), None, return_dict=False)
    return (output - images).square().flatten(1).mean(1)


def test_halves_are_disjoint_by_pool_image_and_cover_all() -> None:
    half = halves_of(POOL_INDEX, 0)
    first, second = set(POOL_INDEX[half == 0]), set(POOL_INDEX[half == 1])
    assert not first & second
    assert first | second == set(range(30))
    assert len(first) == len(second) == 15
    np.testing.assert_array_equal(half, halves_of(POOL_INDEX, 0))
    assert any((half != halves_of(POOL_INDEX, seed)).any() for seed in range(1, 5))
    assert np.bincount(halves_of(np.arange(7), 0)).tolist() == [4, 3]
    together = np.mean([(h := halves_of(np.arange(20), seed))[3] == h[11] for seed in range(400)])
    assert abs(together - 9 / 19) < 0.1  # the probability for two elements of a random half


def test_a_teacher_is_trained_on_its_own_half_and_queried_on_the_other_half_alone() -> None:
    made = setup(steps=12)
    made.loss = clean_loss
    step = made.make_step(made)
    seen: dict[tuple[int, bool], set[bytes]] = {(h, g): set() for h in (0, 1) for g in (True, False)}
    students: set[bytes] = set()

    def note(where: Callable[[], set[bytes]], module, arguments) -> None:
        where().update(image.numpy().tobytes() for image in arguments[0])

    made.network.student.register_forward_pre_hook(partial(note, lambda: students))
    for h in (0, 1):
        spy = partial(note, lambda h=h: seen[h, torch.is_grad_enabled()])
        made.network.teachers[h].register_forward_pre_hook(spy)
    of_half = [
        {
            image.numpy().tobytes()
            for image in (torch.as_tensor(made.dataset.images).float() / 127.5 - 1)[step.half == h]
        }
        for h in (0, 1)
    ]
    assert not of_half[0] & of_half[1]
    advance(step, made, range(6))
    assert not students
    assert not seen[0, False] | seen[1, False]
    trained = {h: set(seen[h, True]) for h in (0, 1)}
    advance(step, made, range(6, 12))
    assert {h: seen[h, True] for h in (0, 1)} == trained
    for h in (0, 1):
        assert len(trained[h]) > 5
        assert trained[h] <= of_half[h]
        assert len(seen[h, False]) > 5
        assert seen[h, False] <= of_half[1 - h]
    assert students == seen[0, False] | seen[1, False]


@pytest.mark.parametrize("unet", [{}, {"conditional": True}, {"prediction": "v_prediction"}], ids=str)
def test_the_students_loss_is_its_distance_to_the_teacher_of_the_other_half(unet) -> None:
    made = setup(dropout=0.0, **unet)
    step = made.make_step(made)
    advance(step, made, range(5))  # four steps of the teachers, and one of the student
    images = torch.as_tensor(made.dataset.images).float() / 127.5 - 1
    labels = torch.as_tensor(made.dataset.labels)
    indices = step.draw(torch.Generator().manual_seed(9))
    assert set(step.half[indices].tolist()) == {0, 1}
    alpha_bar = UNet().build((1, 8, 8), 0, 0).alphas_cumprod
    generator = torch.Generator().manual_seed(1)
    t = torch.randint(1000, (6,), generator=generator)
    noise = torch.randn((6, 1, 8, 8), generator=generator)
    squares = []
    for i, index in enumerate(indices):
        ab = alpha_bar[t[i]]
        x_t = ab.sqrt() * images[index] + (1 - ab).sqrt() * noise[i]
        asked = (x_t[None], t[i], labels[index][None] if unet.get("conditional") else None)
        with torch.no_grad():
            wanted = made.network.teachers[1 - step.half[index]].eval()(*asked).sample
            squares.append((made.network.student(*asked).sample - wanted).square())
    expected = float(torch.stack(squares).mean())
    assert expected > 0
    found = step.update(images[indices], labels[indices], torch.Generator().manual_seed(1))
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("wrong_from", "same"), [(4, True), (3, False)])
def test_the_true_noise_never_enters_the_students_loss(wrong_from: int, same: bool) -> None:
    def trained(wrong: bool) -> list[torch.Tensor]:
        made = setup()
        usual = made.loss
        now = {"step": 0}

        def loss(network, images, labels, generator):
            """From `wrong_from` on, the network is asked the same, but what it says is measured against nonsense."""
            value = usual(network, images, labels, generator)
            return 7.0 - 3 * value if wrong and now["step"] >= wrong_from else value

        made.loss = loss
        step = made.make_step(made)
        advance(step, made, range(8), lambda: now.update(step=now["step"] + 1))
        return [p.detach().clone() for p in made.network.student.parameters()]

    assert all(torch.equal(a, b) for a, b in zip(trained(False), trained(True), strict=True)) is same


def test_teachers_keep_their_average_weights_while_the_student_learns() -> None:
    made = setup()
    step = made.make_step(made)
    average = moving_average(made.network.teachers.parameters(), 0.9)
    fresh = [p.detach().clone() for p in made.network.student.parameters()]
    advance(step, made, range(4), lambda: average.step(made.network.teachers.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(fresh, made.network.student.parameters(), strict=True))
    advance(step, made, range(4, 8))
    found = list(made.network.teachers.parameters())
    torch.testing.assert_close(found, average.shadow_params, rtol=1e-5, atol=1e-7)
    assert not made.network.teachers.training
    assert made.network.student.training


@pytest.mark.parametrize("share", [0.5, 0.75])
def test_the_network_that_is_kept_is_the_average_over_the_students_own_steps(share: float) -> None:
    made = setup((Distill(teacher_share=share),))
    step = made.make_step(made)
    ema = moving_average(made.network.parameters(), 0.9)
    weights: list[list[torch.Tensor]] = []

    def after() -> None:
        ema.step(made.network.parameters())
        weights.append([p.detach().double().clone() for p in made.network.student.parameters()])

    advance(step, made, range(8), after)
    ema.copy_to(made.network.parameters())
    polluted = [p.detach().clone() for p in made.network.student.parameters()]
    kept = [p.detach() for p in made.finish(made.network).parameters()]
    begin, mean, total = round(share * 8), [torch.zeros_like(w) for w in weights[0]], 0.0
    for k in range(begin, 8):
        decay = min(0.9, (1 + k) / (10 + k))
        mean = [decay * m + (1 - decay) * w for m, w in zip(mean, weights[k], strict=True)]
        total = decay * total + 1 - decay
    for found, m in zip(kept, mean, strict=True):
        torch.testing.assert_close(found.double(), m / total, rtol=1e-5, atol=1e-6)
    assert max(float((a - b).abs().max()) for a, b in zip(kept, polluted, strict=True)) > 1e-4


@pytest.mark.parametrize(("share", "steps"), [(0.5, 1000), (0.5, 8000), (0.7, 4000)])
def test_without_the_correction_fresh_weights_would_have_the_share_that_is_documented(share: float, steps: int) -> None:
    networks = StudentAndTeachers(torch.nn.Linear(1, 1))
    ema = moving_average([networks.untrained], 0.999)
    for k in range(steps):
        if k == share * steps:
            torch.nn.init.zeros_(networks.untrained)
        ema.step([networks.untrained])
    assert float(ema.shadow_params[0]) == pytest.approx(share**9, rel=0.1)


def test_a_run_that_is_killed_and_resumed_equals_an_uninterrupted_run_bit_for_bit(tmp_path: Path) -> None:
    whole, expected = run(tmp_path / "whole", (Distill(),))
    # in the teachers' steps, after the last of them, after the student's first step, in the student's steps
    for kill_at in (3, 5, 6, 8):
        with pytest.raises(Killed):
            run(tmp_path / "broken", (Distill(),), kill_at=kill_at)
    resumed, found = run(tmp_path / "broken", (Distill(),))
    assert all(torch.equal(found[key], expected[key]) for key in expected)
    assert resumed.losses == whole.losses
    assert resumed.report == whole.report
    assert resumed.report["teacher_steps"] == resumed.report["student_steps"] == 5
    assert resumed.model_calls == whole.model_calls == 5 * 8 + 5 * 2 * 8  # the calls of the student and of its targets


def test_the_result_is_a_plain_unet_that_loads(tmp_path: Path) -> None:
    _, undefended = run(tmp_path / "a", ())
    _, found = run(tmp_path / "b", (Distill(),))
    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in undefended.items()}
    model = UNet(channels=(8, 8), head_channels=8, dropout=0.1).build((1, 8, 8), 10, 3)
    model.network.load_state_dict(found)
    model.save(tmp_path / "model")
    loaded = UNet().load(tmp_path / "model")
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([3, 700])
    model.network.eval()
    torch.testing.assert_close(loaded.predict_noise(x, t), model.predict_noise(x, t))


def test_it_stacks_with_conditioned_augmentation_before_it_and_with_early_stop(tmp_path: Path) -> None:
    stack = (Augment(conditioned=True, probability=0.5), Distill(), EarlyStop(steps=6))
    trained, found = run(tmp_path / "a", stack)
    assert trained.report["teacher_steps"] == trained.report["student_steps"] == 3
    assert not any("class_embedding" in key for key in found)


class Stop:
    def should_stop(self, done, network) -> bool:
        return False


def stopped() -> TrainingSetup:
    made = setup()
    made.stopping = Stop()
    return made


def first_step(made: TrainingSetup) -> None:
    made.make_step(made).update(torch.zeros(6, 1, 8, 8), torch.zeros(6, dtype=torch.long), torch.Generator())


@pytest.mark.parametrize(
    ("attempt", "words"),
    [
        (lambda: Distill(teacher_share=1.0), "distill.teacher_share is 1.0"),
        (lambda: Distill().check(100.0, 1), "batch_size is 1"),
        (lambda: first_step(setup(steps=1)), "training.steps is 1"),
        (lambda: first_step(setup(batch_size=1)), "batch_size is 1"),
        (lambda: first_step(setup((DPSGD(accountant="rdp"), Distill()))), "cannot be stacked"),
        (lambda: first_step(setup((Distill(), DPSGD(accountant="rdp")))), "cannot be stacked"),
        (lambda: setup((Distill(), Distill())), "cannot be stacked"),
        (lambda: setup((Distill(), Capacity())), "capacity needs a diffusers UNet"),
        (lambda: setup((Distill(), Augment(conditioned=True, probability=0.5))), "in a stack it must come before"),
        (lambda: first_step(stopped()), "end the training"),
    ],
)
def test_wrong_parameters_and_stacks_are_refused(attempt, words: str) -> None:
    with pytest.raises(InputError, match=words):
        attempt()


def test_relative_cost_counts_the_targets() -> None:
    assert Distill(teacher_share=0.5).relative_cost(100, 8) == pytest.approx(1 + 0.5 / 3)
