"""The epsilon of DP-SGD agrees with a second accountant, for one image and for all copies of an image."""

import math

import pytest

from leakfront.defenses.training.accounting import group_epsilon, spent_epsilon
from leakfront.errors import InputError


@pytest.mark.parametrize(("sigma", "rate", "steps"), [(1.1, 0.05, 1000), (0.8, 0.02, 300), (4.0, 0.2, 500)])
def test_epsilon_agrees_with_a_second_accountant(sigma, rate, steps):
    from dp_accounting import GaussianDpEvent, PoissonSampledDpEvent
    from dp_accounting.pld import PLDAccountant
    from dp_accounting.rdp import RdpAccountant

    event = PoissonSampledDpEvent(rate, GaussianDpEvent(sigma))
    for name, other, tolerance in (
        ("rdp", RdpAccountant(), 0.01),
        # of both directions (adding and removing an image); Opacus' PRV composes one of them
        ("prv", PLDAccountant(value_discretization_interval=1e-3), 0.02),
    ):
        expected = other.compose(event, steps).get_epsilon(1e-5)
        assert spent_epsilon(((sigma, rate, steps),), 1e-5, name, 0.01) == pytest.approx(expected, rel=tolerance)


@pytest.mark.parametrize(("sigma", "rate", "steps"), [(1.0, 0.01, 1000), (4.0, 0.2, 500)])
@pytest.mark.parametrize("copies", [1, 3, 6])
def test_the_epsilon_of_all_copies_together_bounds_a_second_accountant_closely(sigma, rate, steps, copies):
    from dp_accounting.dp_event import MixtureOfGaussiansDpEvent
    from dp_accounting.pld import PLDAccountant
    from scipy.stats import binom

    counts = list(range(copies + 1))
    event = MixtureOfGaussiansDpEvent(sigma, counts, binom.pmf(counts, copies, rate))
    tight = PLDAccountant(value_discretization_interval=1e-2).compose(event, steps).get_epsilon(1e-5)
    assert tight <= group_epsilon(((sigma, rate, steps),), 1e-5, copies) <= 1.2 * tight


def test_the_epsilon_of_one_copy_is_that_of_the_accountant_of_an_image():
    history = ((1.1, 0.05, 100), (0.7, 0.01, 30))
    assert group_epsilon(history, 1e-5, 1) == pytest.approx(spent_epsilon(history, 1e-5, "rdp", 0.01), rel=1e-6)


def test_without_sampling_copies_are_a_gaussian_mechanism_of_so_much_more_sensitivity():
    alone = spent_epsilon(((2.0, 1.0, 5),), 1e-5, "rdp", 0.01)
    assert group_epsilon(((8.0, 1.0, 5),), 1e-5, 4) == pytest.approx(alone, rel=1e-6)


def test_the_epsilon_of_copies_in_its_limits():
    assert group_epsilon((), 1e-5, 3) == 0
    assert group_epsilon(((0.0, 0.1, 1),), 1e-5, 3) == math.inf
    with pytest.raises(InputError, match="copies is 0"):
        group_epsilon(((1.0, 0.1, 1),), 1e-5, 0)
