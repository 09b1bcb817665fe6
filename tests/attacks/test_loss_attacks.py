"""Attacks on the loss equal their formulas, transcribed one image at a time in float64, and give known answers."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist, fmean, median

import numpy as np
import pytest
import torch
from scipy.stats import chi2, norm

from leakfront.attacks import Attack, Outside, Shadow, Signals, Target
from leakfront.attacks.contract import signal_key
from leakfront.attacks.lira import LiRA
from leakfront.attacks.loss import Loss, NoiseErrors
from leakfront.attacks.pfami import PFAMI
from leakfront.attacks.pia import PIA
from leakfront.attacks.pian import PIAN
from leakfront.attacks.quantile import Quantile
from leakfront.attacks.queries.queries import Queries
from leakfront.attacks.queries.views import CentreCrop, Flip
from leakfront.attacks.rediffuse import ReDiffuse
from leakfront.attacks.secmi import SecMI
from leakfront.attacks.shadow_models.choice import shadow_auc
from leakfront.attacks.sima import SimA
from leakfront.errors import InputError
from leakfront.harness.training.loop import to_unit_range
from tests import oracle_targets as oracle


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return oracle.digits()[:40]


@pytest.fixture(scope="module")
def model():
    return oracle.fitted("gaussian", oracle.digits()[200:500])


def unit(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float64) / 127.5 - 1


def noise_of(model, x: np.ndarray, t: int) -> np.ndarray:
    """eps_theta(x, t) of one image [C, H, W], in float64."""
    return model.predict_noise(torch.as_tensor(x)[None].double(), torch.tensor([t]))[0].double().numpy()


def drawn(model, images: np.ndarray, count: int) -> list[np.ndarray]:
    """The noises that all images share in the probe, for the seed of the oracle targets."""
    queries = Queries(model, to_unit_range(images[:1]), torch.zeros(1, dtype=torch.long), seed=3)
    return [queries.noise(draw)[0].double().numpy() for draw in range(count)]


def error_of(model, x_0: np.ndarray, eps: np.ndarray, t: int) -> float:
    ab = model.alphas_cumprod.double().numpy()[t]
    return float(((noise_of(model, np.sqrt(ab) * x_0 + np.sqrt(1 - ab) * eps, t) - eps) ** 2).mean())


def cropped(image: np.ndarray, fraction: float) -> np.ndarray:
    """Bilinear interpolation at the pixel centres of the enlarged window, one pixel at a time."""
    _, height, width = image.shape
    out = np.empty_like(image)
    for i in range(height):
        for j in range(width):
            y = fraction * (i + 0.5 - height / 2) + height / 2 - 0.5
            x = fraction * (j + 0.5 - width / 2) + width / 2 - 0.5
            top, left = math.floor(y), math.floor(x)
            dy, dx = y - top, x - left
            low, right = min(top + 1, height - 1), min(left + 1, width - 1)
            out[:, i, j] = (1 - dy) * ((1 - dx) * image[:, top, left] + dx * image[:, top, right]) + dy * (
                (1 - dx) * image[:, low, left] + dx * image[:, low, right]
            )
    return out


@pytest.mark.parametrize("fraction", [0.95, 0.7, 0.5])
def test_centre_crop_is_bilinear_and_exact_between_pixels(fraction: float, images: np.ndarray) -> None:
    rectangles = torch.as_tensor(np.stack([unit(image)[:, :6] for image in images[:5]]))
    seen = CentreCrop(fraction)(rectangles).numpy()
    for image, found in zip(rectangles.numpy(), seen, strict=True):
        np.testing.assert_allclose(found, cropped(image, fraction), atol=1e-12)


def test_flip_mirrors_left_and_right(images: np.ndarray) -> None:
    batch = to_unit_range(images)
    np.testing.assert_array_equal(Flip()(batch).numpy(), batch.numpy()[:, :, :, ::-1])


def test_errors_with_flips_are_the_mean_over_the_image_and_its_mirror_image(model, images: np.ndarray) -> None:
    attack = Loss(timesteps=(100,), draws=2)
    queries = Queries(model, to_unit_range(images), torch.zeros(len(images), dtype=torch.long), seed=3)
    found = NoiseErrors((50, 100), 2, flips=True).measure(queries)
    assert queries.calls == 2 * 2 * 2
    noises = drawn(model, images, 2)
    for i, image in enumerate(images):
        plain = fmean(error_of(model, unit(image), eps, 100) for eps in noises)
        mirrored = fmean(error_of(model, unit(image)[:, :, ::-1], eps, 100) for eps in noises)
        assert found["unflipped"][i, 1] == pytest.approx(plain, rel=1e-4)
        assert found["errors"][i, 1] == pytest.approx((plain + mirrored) / 2, rel=1e-4)
    np.testing.assert_allclose(
        attack.score(oracle.target(attack, model, images), []).score, -found["unflipped"][:, 1].numpy(), rtol=1e-6
    )


def test_pian(model, images: np.ndarray) -> None:
    attack = PIAN(timesteps=(10, 200, 300))
    scores = attack.score(oracle.target(attack, model, images), []).score
    ab = model.alphas_cumprod.double().numpy()[200]
    for image, score in zip(images, scores, strict=True):
        x_0 = unit(image)
        e_0 = noise_of(model, x_0, 0)
        e_0 = e_0 / np.abs(e_0).mean() * np.sqrt(2 / np.pi)
        x_t = np.sqrt(ab) * x_0 + np.sqrt(1 - ab) * e_0
        assert score == pytest.approx(-(np.abs(e_0 - noise_of(model, x_t, 200)) ** 4).sum(), rel=1e-3)


def test_sima(model, images: np.ndarray) -> None:
    attack = SimA()
    scores = attack.score(oracle.target(attack, model, images), []).score
    for image, score in zip(images, scores, strict=True):
        assert score == pytest.approx(-((noise_of(model, unit(image), 100) ** 4).sum() ** 0.25), rel=1e-4)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("fresh", [True, False])
def test_pfami(relative: bool, fresh: bool, model, images: np.ndarray) -> None:
    attack = PFAMI(timesteps=(0, 100, 450), crops=3, draws=2, relative=relative, fresh_noise=fresh)
    scores = attack.score(oracle.target(attack, model, images), []).score
    every = drawn(model, images, 6)
    for image, score in zip(images, scores, strict=True):
        rises = []
        for i, t in enumerate((0, 100, 450)):
            noises = every[2 * i : 2 * i + 2] if fresh else every[:2]
            whole = fmean(error_of(model, unit(image), eps, t) for eps in noises)
            for fraction in (0.95, 0.825, 0.7):
                crop = fmean(error_of(model, cropped(unit(image), fraction), eps, t) for eps in noises)
                rises.append((crop - whole) / (whole if relative else 1))
        assert score == pytest.approx(fmean(rises), rel=1e-3, abs=1e-6)


def test_rediffuse(model, images: np.ndarray) -> None:
    attack = ReDiffuse(timestep=200, interval=50, repeats=3)
    scores = attack.score(oracle.target(attack, model, images), []).score
    ab = model.alphas_cumprod.double().numpy()
    noises = drawn(model, images, 3)
    for image, score in zip(images, scores, strict=True):
        ends = []
        for eps in noises:
            x = np.sqrt(ab[200]) * unit(image) + np.sqrt(1 - ab[200]) * eps
            for t in (200, 150, 100, 50):
                predicted = noise_of(model, x, t)
                x_0 = (x - np.sqrt(1 - ab[t]) * predicted) / np.sqrt(ab[t])
                x = np.sqrt(ab[t - 50]) * x_0 + np.sqrt(1 - ab[t - 50]) * predicted
            ends.append(x)
        assert score == pytest.approx(-np.sqrt(((np.mean(ends, axis=0) - unit(image)) ** 2).sum()), rel=1e-3)


def test_the_source_settings_cost_what_the_docstrings_say_and_share_calls(model, images: np.ndarray) -> None:
    def calls(*attacks: Attack) -> int:
        batch = to_unit_range(images[:2])
        queries = Queries(model, batch, torch.zeros(2, dtype=torch.long), seed=0)
        for attack in attacks:
            for signal in attack.signals():
                signal.measure(queries)
        return queries.calls

    assert calls(LiRA()) == calls(Quantile()) == calls(Loss(), LiRA(), Quantile()) == 24
    assert calls(LiRA(timesteps=(100, 200), draws=16, flips=True)) == 64
    assert calls(PIAN()) == 31
    assert calls(SimA()) == 7
    assert calls(PFAMI()) == 110
    assert calls(ReDiffuse()) == 20
    # PFAMI: its image at six timesteps with draw 0; ReDiffuse: the first predictions of draws 0 … 3, at t = 200
    assert calls(Loss(), PFAMI(fresh_noise=False), ReDiffuse()) == 24 + (110 - 6) + (20 - 4)
    # with draws of its own: draws 1 … 3 at t = 50, 100, 150; ReDiffuse shares draw 4 at t = 200 with it
    assert calls(Loss(), PFAMI(), ReDiffuse()) == 24 + (110 - 3) + (20 - 5)


# --- LiRA on statistics that are known to be Gaussian ---------------------------------------------------------------


def a_model(attack: Attack, columns: dict[str, np.ndarray], members: np.ndarray) -> Shadow:
    """A model with the given measurements on the pool and the given coins."""
    key = signal_key(attack.signal)
    seen = oracle.only_samples(oracle.pool_view(np.zeros((len(members), 1, 1, 1), np.uint8)), np.zeros((0, 1, 1, 1)))
    return Shadow(**{**vars(seen), "signals": Signals({f"{key}/{k}": v for k, v in columns.items()})}, members=members)


def without_coins(model: Shadow) -> Target:
    return Target(**{name: value for name, value in vars(model).items() if name != "members"})


def gaussian_models(
    attack: LiRA, count: int, difficulty: np.ndarray, shift: np.ndarray, spread: np.ndarray, rng: np.random.Generator
) -> list[Shadow]:
    """Models with statistics N(difficulty, spread^2), lower by `shift` for members, equal at all timesteps; all [P]."""
    made = []
    for _ in range(count):
        members = rng.random(len(difficulty)) < 0.5
        values = difficulty - shift * members + spread * rng.standard_normal(len(difficulty))
        values = np.exp(values) if attack.log else values
        made.append(a_model(attack, {"errors": np.repeat(values[:, None], len(attack.timesteps), 1)}, members))
    return made


def test_lira_with_many_shadows_has_the_roc_of_the_gaussians() -> None:
    check_roc(form="online", per_example=False)


@pytest.mark.parametrize(("form", "per_example"), [("online", True), ("offline", False), ("offline", True)])
def test_lira_has_the_same_roc_offline_and_with_variances_of_each_image(form: str, per_example: bool) -> None:
    check_roc(form, per_example)


def check_roc(form: str, per_example: bool) -> None:
    attack = LiRA(form, timesteps=(100,), log=False, per_example_variance_from=64 if per_example else 10**6)
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.5, 2, 400) if per_example else np.ones(400)
    difficulty, shift = rng.normal(20, 5, 400), 1.5 * spread
    shadows = gaussian_models(attack, 200, difficulty, shift, spread, rng)
    attacked = gaussian_models(attack, 40, difficulty, shift, spread, rng)
    score = np.concatenate([attack.score(without_coins(model), shadows).score for model in attacked])
    members = np.concatenate([model.members for model in attacked])
    for rate, tolerance in ((0.01, 0.04), (0.1, 0.03), (0.5, 0.02)):
        threshold = np.quantile(score[~members], 1 - rate)
        analytic = NormalDist().cdf(NormalDist().inv_cdf(rate) + 1.5)
        assert (score[members] > threshold).mean() == pytest.approx(analytic, abs=tolerance)


def two_shadow_aucs(attacks: Sequence[LiRA], shift: float, seeds: int = 12) -> np.ndarray:
    """Mean AUC of each attack, and of minus the loss, with 2 shadows; difficulty varies more than the shift."""
    aucs = []
    for seed in range(seeds):
        rng = np.random.default_rng(seed)
        difficulty, spread = rng.normal(-3, 1, 500), np.full(500, 0.3)
        *shadows, model = gaussian_models(attacks[0], 3, difficulty, np.full(500, shift), spread, rng)
        loss = -next(iter(model.signals._arrays.values()))[:, 0]  # type: ignore[attr-defined]
        found = [attack.score(without_coins(model), shadows).score for attack in attacks]
        aucs.append([shadow_auc(score, model.members) for score in (*found, loss)])
    return np.mean(aucs, axis=0)


def test_two_shadows_beat_the_loss_when_images_differ_in_difficulty() -> None:
    online, offline, loss = two_shadow_aucs([LiRA(timesteps=(100,)), LiRA("offline", timesteps=(100,))], shift=0.5)
    assert loss < 0.68
    assert min(online, offline) > loss + 0.1


def test_shrinking_helps_two_shadows_to_see_a_weak_leak() -> None:
    plain, shrunk, _ = two_shadow_aucs([LiRA(timesteps=(100,)), LiRA(timesteps=(100,), shrink=True)], shift=0.2)
    assert shrunk > plain + 0.02


def test_shrinking_changes_nothing_with_many_shadows() -> None:
    rng = np.random.default_rng(1)
    difficulty, shift, spread = rng.normal(-3, 1, 300), rng.uniform(0, 2, 300), np.full(300, 0.3)
    attack = LiRA(timesteps=(100,))
    *shadows, model = gaussian_models(attack, 201, difficulty, shift, spread, rng)
    plain, shrunk = (replace(attack, shrink=s).score(without_coins(model), shadows).score for s in (False, True))
    assert np.corrcoef(plain, shrunk)[0, 1] > 0.999


def transcribed_lira(
    values: list[list[float]], coins: list[list[bool]], seen: list[float], form: str, smallest: float, robust: bool
) -> list[float]:
    """LiRA from the shadows' statistics and coins [S][P]: pooled variances, means per image, missing means inferred."""
    centre = median if robust else fmean
    pool = range(len(seen))
    sides = [
        {side: [v[i] for v, c in zip(values, coins, strict=True) if c[i] == side] for side in (True, False)}
        for i in pool
    ]
    variance = {}
    for side in (True, False):
        of_side = [s[side] for s in sides if s[side]]
        squares = [sum((v - fmean(own)) ** 2 for v in own) for own in of_side]
        freedom = [len(own) - 1 for own in of_side]
        pooled = sum(squares) / sum(freedom)
        if robust:
            pooled = median(s / float(chi2.ppf(0.5, f)) for s, f in zip(squares, freedom, strict=True) if f)
        variance[side] = max(pooled, smallest**2)
    known = [(fmean(s[True]) - fmean(s[False]), s) for s in sides if s[True] and s[False]]
    common = centre([difference for difference, _ in known])
    total = fmean((difference - common) ** 2 for difference, _ in known)
    if robust:
        total = (median(abs(difference - common) for difference, _ in known) / 0.6744897501960817) ** 2
    noise = centre([variance[True] / len(s[True]) + variance[False] / len(s[False]) for _, s in known])
    between = max(0.0, total - noise)
    scores = []
    for i in pool:
        inside, outside = sides[i][True], sides[i][False]
        mean_in = fmean(inside) if inside else fmean(outside) + common
        mean_out = fmean(outside) if outside else fmean(inside) - common
        sd_in = math.sqrt(variance[True] + (0 if inside else between))
        sd_out = math.sqrt(variance[False] + (0 if outside else between))
        if form == "difference":
            corrected = [v - common for v in inside] + outside
            scores.append(fmean(corrected) - seen[i])
        elif form == "offline":
            scores.append(-float(norm.logcdf((seen[i] - mean_out) / sd_out)))
        else:
            scores.append(float(norm.logpdf(seen[i], mean_in, sd_in) - norm.logpdf(seen[i], mean_out, sd_out)))
    return scores


@pytest.mark.parametrize("robust", [True, False])
@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize("form", ["online", "offline", "difference"])
def test_lira(form: str, log: bool, robust: bool) -> None:
    attack = LiRA(form, timesteps=(50, 100, 200), log=log, robust=robust)  # type: ignore[arg-type]
    rng = np.random.default_rng(3)
    models = []
    for _ in range(4):
        members = rng.random(50) < 0.5
        shift = np.outer(members, (0.1, 1.0, 0.3))  # the leak is at t = 100
        errors = np.exp(np.linspace(-4, -2, 50)[:, None] - shift + 0.2 * rng.standard_normal((50, 3)))
        models.append(a_model(attack, {"errors": errors.astype(np.float32)}, members))
    target, *shadows = models
    scores = attack.score(without_coins(target), shadows)
    assert scores.choices["timestep"] == 100
    coins = [s.members.tolist() for s in shadows]
    assert scores.choices["imputed"] == sum(len(set(column)) == 1 for column in zip(*coins, strict=True)) > 0

    def statistics(seen: Target) -> list[float]:
        column = seen.signals[attack.signal]["errors"][:, 1].tolist()
        return [math.log(e) for e in column] if log else column

    values = [statistics(s) for s in shadows]
    smallest = 0.01 if log else 0.01 * fmean(v for row in values for v in row)
    truth = transcribed_lira(values, coins, statistics(target), form, smallest, robust)
    np.testing.assert_allclose(scores.score, truth, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("form", ["online", "offline"])
def test_planted_images_do_not_hide_the_others(form: str) -> None:
    """40 of 640 images were trained on many times: their difference is ten times that of others, and varies."""
    aucs = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        shift = np.full(640, 0.25)
        shift[:40] = rng.uniform(1.5, 3.5, 40)
        attack = LiRA(form, timesteps=(100,), shrink=True)  # type: ignore[arg-type]
        *shadows, model = gaussian_models(attack, 3, rng.normal(-3, 1, 640), shift, np.full(640, 0.2), rng)
        found = [replace(attack, robust=r).score(without_coins(model), shadows).score for r in (False, True)]
        aucs.append([shadow_auc(score, model.members) for score in found])
    plain, robust = np.mean(aucs, axis=0)
    assert robust > plain + 0.01


def test_the_difference_needs_no_variance() -> None:
    difference, online, loss = two_shadow_aucs(
        [LiRA("difference", timesteps=(100,)), LiRA(timesteps=(100,))], shift=0.5
    )
    assert difference > online > loss


def test_lira_finds_the_timestep_that_leaks_from_two_shadows() -> None:
    attack = LiRA(timesteps=(50, 100, 200), flips=True)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        difficulty, models = rng.normal(-3, 1, 300), []
        for _ in range(3):
            members = rng.random(300) < 0.5
            noise = 0.3 * rng.standard_normal((2, 300, 3))
            shift = np.outer(members, (0.0, 0.5, 0.0))
            of_both, of_one = np.exp(difficulty[:, None] - shift + noise * np.array([1, 2])[:, None, None])
            models.append(a_model(attack, {"errors": of_both, "unflipped": of_one}, members))
        choices = attack.score(without_coins(models[0]), models[1:]).choices
        assert (choices["timestep"], choices["flips"]) == (100, True)
        assert "2 shadow models" in choices["chosen by"]


def test_lira_is_finite_on_errors_that_are_zero_or_all_equal() -> None:
    coins = [oracle.coins(s, 40) for s in range(3)]
    for form in ("online", "offline"):
        for log in (True, False):
            attack = LiRA(form, timesteps=(100,), log=log)  # type: ignore[arg-type]
            constant, *others = (a_model(attack, {"errors": np.ones((40, 1))}, c) for c in coins)
            same = attack.score(without_coins(constant), others).score
            assert len(set(same)) == 1
            exact, *known = (a_model(attack, {"errors": np.where(c, 0, 0.1)[:, None]}, c) for c in coins)
            score = attack.score(without_coins(exact), known).score
            assert np.isfinite([*same, *score]).all()
            assert shadow_auc(score, coins[0]) == 1


def test_lira_says_what_few_shadows_mean() -> None:
    assert "left out" in LiRA().note(1)
    assert "1 image in 2 " in LiRA().note(2)
    assert "1 image in 64 " in LiRA().note(7)
    assert LiRA().note(8) == ""


# --- quantile regression ---------------------------------------------------------------------------------------------


def quantile_target(attack: Quantile, seed: int, outside: int, leak: float = 0.0) -> tuple[Target, np.ndarray]:
    """Digits whose log error depends on their mean brightness; for members it is lower by `leak`."""
    rng = np.random.default_rng(seed)
    shuffled = oracle.digits()[rng.permutation(len(oracle.digits()))]
    pool, away = shuffled[:400], shuffled[400 : 400 + outside]
    members = oracle.coins(seed, 400)
    key = f"{signal_key(attack.signal)}/errors"

    def errors(seen: np.ndarray, lower: np.ndarray) -> np.ndarray:
        brightness = seen.reshape(len(seen), -1).mean(1) / 255
        logs = 40 * (brightness - 0.3) - 3 - lower + 0.3 * rng.standard_normal(len(seen))
        return np.exp(logs)[:, None].astype(np.float32)

    of_pool, of_away = errors(pool, leak * members), errors(away, np.zeros(outside))
    view, nothing = oracle.pool_view(pool), Signals({})
    beside = Outside(away, Signals({key: of_away}))
    labels, signals = np.zeros(0, int), Signals({key: of_pool})
    return Target(view, pool[:0], labels, signals, nothing, beside, seed=1, extract=oracle.flat), members


@pytest.mark.parametrize(("alpha", "most"), [(0.05, 0.2), (0.1, 0.3), (0.5, 0.6)])
def test_the_predicted_quantile_rises_with_alpha_and_is_at_most_a_few_times_too_high(alpha, most) -> None:
    attack = Quantile(alpha=alpha, timesteps=(100,))
    shares = [(attack.score(quantile_target(attack, seed, 1000)[0], []).score > 0).mean() for seed in range(2)]
    assert 0.9 * alpha < fmean(shares) < most  # above alpha, because the trees fit the images that they saw too closely


def test_quantile_regression_beats_the_loss_when_the_image_tells_how_hard_it_is() -> None:
    attack, found = Quantile(timesteps=(100,)), []
    for seed in range(2):
        target, members = quantile_target(attack, seed, 1000, leak=0.6)
        loss = -target.signals[attack.signal]["errors"][:, 0]
        found.append([shadow_auc(score, members) for score in (attack.score(target, []).score, loss)])
    regression, loss_alone = np.mean(found, axis=0)
    assert regression > loss_alone + 0.03


def test_quantile_score_is_the_prediction_minus_the_log_error() -> None:
    attack = Quantile(timesteps=(50, 100))
    target, _ = quantile_target(Quantile(timesteps=(100,)), 0, 200)
    errors = target.signals[Quantile(timesteps=(100,)).signal]["errors"]
    key = f"{signal_key(attack.signal)}/errors"
    beside = target.outside.signals[Quantile(timesteps=(100,)).signal]["errors"]

    def scored(column: np.ndarray, order: np.ndarray) -> np.ndarray:
        outside = Outside(target.outside.images[order], Signals({key: np.repeat(beside[order], 2, 1)}))
        return attack.score(replace(target, signals=Signals({key: np.repeat(column, 2, 1)}), outside=outside), []).score

    here = np.arange(len(beside))
    prediction = scored(errors, here) + np.log(errors[:, 0].astype(np.float64))
    np.testing.assert_allclose(scored(np.full_like(errors, 0.25), here), prediction - math.log(0.25), rtol=1e-9)
    np.testing.assert_array_equal(scored(errors, here[::-1]), scored(errors, here))  # in any order
    assert attack.score(replace(target, signals=Signals({key: np.repeat(errors, 2, 1)}),
                                outside=Outside(target.outside.images, Signals({key: np.repeat(beside, 2, 1)}))),
                        []).choices["timestep"] == 100  # fmt: skip


def test_quantile_regression_on_too_few_images_is_the_loss_threshold() -> None:
    attack = Quantile(timesteps=(100,))
    target, _ = quantile_target(attack, 0, 39)
    loss = target.signals[attack.signal]["errors"][:, 0]
    scores = attack.score(target, [])
    np.testing.assert_array_equal(np.argsort(scores.score), np.argsort(-loss))
    assert scores.choices["images outside"] == 39


def test_quantile_without_images_from_outside_is_refused() -> None:
    attack = Quantile(timesteps=(100,))
    target, _ = quantile_target(attack, 0, 1)
    with pytest.raises(InputError, match="outside"):
        attack.score(target, [])


@pytest.mark.parametrize(
    ("attack", "wrong", "key"),
    [
        (Loss, {"timesteps": ()}, "loss.timesteps is [];"),
        (Loss, {"timesteps": (-1, 50)}, "loss.timesteps is [-1, 50]; it must be a list of one or more whole numbers"),
        (Loss, {"draws": 0}, "loss.draws is 0; it must be at least 1"),
        (PIA, {"norm": 0.0}, "pia.norm is 0.0; it must be above 0"),
        (SecMI, {"timesteps": (100, 105)}, "secmi.timesteps is 105; it must be a multiple of interval, 10"),
        (SecMI, {"interval": 0}, "secmi.interval is 0; it must be at least 1"),
        (LiRA, {"form": "inline"}, "lira.form is 'inline'; it must be 'online', 'offline' or 'difference'"),
        (LiRA, {"draws": 0}, "lira.draws"),
        (LiRA, {"timesteps": ()}, "lira.timesteps"),
        (Quantile, {"alpha": 1.0}, "quantile.alpha"),
        (Quantile, {"components": 0}, "quantile.components"),
        (Quantile, {"timesteps": ()}, "quantile.timesteps"),
        (PIAN, {"timesteps": ()}, "pian.timesteps"),
        (SimA, {"norm": 0.0}, "sima.norm"),
        (PFAMI, {"crops": 0}, "pfami.crops"),
        (PFAMI, {"smallest": 0.97}, "pfami.smallest is 0.97; it must be at most largest, 0.95"),
        (PFAMI, {"draws": 10**6}, "pfami.draws is 1000000; it must lie in 1 … 10000"),
        (ReDiffuse, {"timestep": 250}, "rediffuse.timestep is 250; it must be a multiple of interval, 100"),
        (ReDiffuse, {"repeats": 0}, "rediffuse.repeats"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(attack, wrong: dict, key: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"attacks.{key}")):
        attack(**wrong)
