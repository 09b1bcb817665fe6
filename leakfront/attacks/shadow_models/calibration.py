"""Difficulty calibration: an image's score, compared with what it would be if the image were no member."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SMALLEST = 1e-6  # as a share of the mean error


def calibrated(values: np.ndarray, known: Sequence[np.ndarray], members: np.ndarray) -> np.ndarray:
    """A model's scores [P] minus the scores that the images would have as non-members, float64 [P].

    known: the scores [P] under each of S shadow models, at least one, with coins `members` bool [S, P]. See
    `as_non_members`. Source: Watson et al. 2022 (arXiv 2111.08440), who call it difficulty calibration.
    """
    difference: np.ndarray = values - as_non_members(np.stack(known), members)
    return difference


def in_calibrated_form(errors: np.ndarray, calibrate: bool) -> np.ndarray:
    """Errors of a model, [P, …] and at least 0, in the form in which they are compared: as they are, or as logarithms.

    Errors span orders of magnitude. In their plain differences, the scatter of the largest hides the gap of all others;
    a difference of logarithms is a ratio, which means the same for every image. (Without a comparison, logarithms would
    change no ranking.) Errors below 1e-6 times the mean count as that: they are rounding errors.
    """
    errors = errors.astype(np.float64)
    if not calibrate:
        return errors
    smallest = _SMALLEST * errors.mean(axis=0)
    logs: np.ndarray = np.log(np.maximum(errors, np.where(smallest > 0, smallest, 1.0)))
    return logs


def as_non_members(known: np.ndarray, members: np.ndarray) -> np.ndarray:
    """The scores [P, …] that images would have as non-members, from those under S shadow models, [S, P, …].

    members: the coins of the shadow models, bool [S, P].

    It is the mean over the shadow models that did not train on the image. An image on which all of them trained (1 in
    2^S) takes the mean over all, minus the common shift: the median over images on both sides of the difference between
    the sides. With one shadow model no image is on both sides, and the shift is the difference of the sides' medians.
    """
    known = known.astype(np.float64)
    side = np.stack([~members, members]).reshape(2, *members.shape, *[1] * (known.ndim - 2))
    count = side.sum(1)
    outside, inside = np.where(side, known, 0).sum(1) / np.maximum(count, 1)
    both = (count > 0).all(0).reshape(members.shape[1])
    if both.any():
        shift = np.median((inside - outside)[both], axis=0)
    elif members.any() and not members.all():
        shift = np.median(known[members], axis=0) - np.median(known[~members], axis=0)
    else:
        shift = np.zeros(known.shape[2:])
    found: np.ndarray = np.where(count[0] > 0, outside, inside - shift)
    return found
