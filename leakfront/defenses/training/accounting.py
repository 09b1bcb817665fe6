"""The privacy account of DP-SGD: epsilon from the steps that ran, and the noise that keeps a run within an epsilon."""

from __future__ import annotations

import math
import warnings
from functools import lru_cache

import numpy as np
from opacus.accountants import RDPAccountant, create_accountant
from opacus.accountants.analysis.rdp import get_privacy_spent
from opacus.accountants.utils import get_noise_multiplier
from scipy.stats import binom, norm

from leakfront.errors import InputError

History = tuple[tuple[float, float, int], ...]  # (noise multiplier, sampling rate, steps) of consecutive stretches


def precision_of(epsilon: float) -> float:
    """The precision to which PRV computes a target `epsilon`: 0.5%, but at least 0.001, to limit memory and time."""
    return max(epsilon / 200, 1e-3)


@lru_cache(maxsize=256)
def spent_epsilon(history: History, delta: float, accountant: str, precision: float) -> float:
    """An upper bound on the epsilon of `history`; it includes PRV's numerical error, which is at most `precision`."""
    if not history:
        return 0.0
    if any(sigma == 0 for sigma, _, _ in history):
        return math.inf
    ledger = create_accountant(accountant)
    ledger.history = list(history)
    with warnings.catch_warnings():  # about the range of Renyi orders and sampling rate 1; neither breaks the bound
        warnings.simplefilter("ignore")
        return float(ledger.get_epsilon(delta, **_options(accountant, precision)))


def find_noise_multiplier(
    epsilon: float, delta: float, sampling_rate: float, steps: int, accountant: str, defense: str = "dp_sgd"
) -> float:
    """The smallest sigma (to `precision_of(epsilon)`) for which `steps` steps cost at most `epsilon`.

    Raises `InputError`, which names the parameter epsilon of `defense`, if the accountant finds no such noise.
    """
    try:
        sigma = _sought(epsilon, delta, sampling_rate, steps, accountant)
        spent = spent_epsilon(((sigma, sampling_rate, steps),), delta, accountant, precision_of(epsilon))
        reason = f"it spends {spent:.4g}"
    except (ValueError, RuntimeError, MemoryError) as error:
        spent, reason = math.nan, str(error)
    if not spent <= epsilon:
        raise InputError(
            f"{defense}.epsilon is {epsilon}; the accountant {accountant!r} finds no noise that reaches it with delta "
            f"{delta:.2g}, sampling rate {sampling_rate:.3g} and {steps} steps ({reason})"
        )
    return float(sigma)


@lru_cache(maxsize=256)
def _sought(epsilon: float, delta: float, sampling_rate: float, steps: int, accountant: str) -> float:
    """What Opacus' search ends with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sigma: float = get_noise_multiplier(
            target_epsilon=epsilon,
            target_delta=delta,
            sample_rate=sampling_rate,
            steps=steps,
            accountant=accountant,
            epsilon_tolerance=precision_of(epsilon),
            **_options(accountant, precision_of(epsilon)),
        )
    return sigma


def _options(accountant: str, precision: float) -> dict[str, float]:
    return {"eps_error": precision} if accountant == "prv" else {}


def group_epsilon(history: History, delta: float, copies: int) -> float:
    """An upper bound on the epsilon of `history` for adding or removing all `copies` of an image at once.

    A step samples each of the k copies with probability q, so together they move the clipped sum by at most j C, where
    j is Binomial(k, q). The worst case is the mixture sum_j P(j) N(j, sigma^2) against N(0, sigma^2) (Ganesh 2024,
    arXiv 2401.10294, for Poisson sampling). At each order the larger of the Renyi divergences in both directions
    counts. Divergences add up over the steps and are converted to epsilon as in Opacus' RDP accountant; for k = 1 the
    result equals that accountant's. The bound for any mechanism, (k epsilon, k e^((k - 1) epsilon) delta), is vacuous
    at the epsilons that image models are trained with.

    Raises `InputError` for fewer than one copy.
    """
    if copies < 1:
        raise InputError(f"copies is {copies}; it must be at least 1")
    if not history:
        return 0.0
    if any(sigma == 0 for sigma, _, _ in history):
        return math.inf
    orders = np.asarray(RDPAccountant.DEFAULT_ALPHAS, dtype=float)
    divergence = sum(steps * _group_divergence(sigma, rate, copies, orders) for sigma, rate, steps in history)
    with warnings.catch_warnings():  # about the range of Renyi orders; the bound holds all the same
        warnings.simplefilter("ignore")
        epsilon, _ = get_privacy_spent(orders=orders, rdp=divergence, delta=delta)
    return float(epsilon)


def _group_divergence(sigma: float, rate: float, copies: int, orders: np.ndarray) -> np.ndarray:
    """The Renyi divergences of one step, by the trapezoid rule, which is exact to rounding for such integrands."""
    reach = orders.max() * copies + 14 * sigma  # P^a Q^(1 - a) has its mass around 0 … a k, or around -(a - 1) k … 0
    width = min(sigma, sigma**2) / 10
    x = np.linspace(-reach, reach, 2 * math.ceil(reach / width) + 1)
    without = norm.logpdf(x, 0, sigma)
    with_copies = np.full_like(x, -np.inf)
    for j in range(copies + 1):
        with_copies = np.logaddexp(with_copies, binom.logpmf(j, copies, rate) + norm.logpdf(x, j, sigma))

    def divergence(p: np.ndarray, q: np.ndarray, order: float) -> float:
        exponents = order * p + (1 - order) * q
        highest = exponents.max()  # SciPy's logsumexp gives the same, in five times the time
        return float(highest + np.log(np.exp(exponents - highest).sum()) + math.log(x[1] - x[0])) / (order - 1)

    return np.array([max(divergence(with_copies, without, a), divergence(without, with_copies, a)) for a in orders])
