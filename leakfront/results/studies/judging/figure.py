"""The figure of a study: the numbers of each split, and the effect with its interval beside its margin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leakfront.results.figures import Drawn
from leakfront.results.figures.drawing import style
from leakfront.results.figures.drawing.looks import look
from leakfront.results.studies.judging.answer import Answered, Question
from leakfront.results.studies.judging.sentences import expected_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from leakfront.results.studies import Curve, Shown

_LONG = 36  # characters below an axis that fit beside each other
_LINES = "Thin: one line for each split. Thick: their mean."
_EFFECT = "Right: the effect in each split, its mean with the 95% interval, and what was expected (shaded)."


def draw(answered: Answered, title: str) -> Drawn | None:
    """The figure of an answer; None for one that is not judged."""
    if answered.measured is None:
        return None
    shown, estimate = answered.measured.shown, answered.estimate
    with style.theme():
        figure = style.new_figure(2.1, style.PAGE if estimate is not None else None)
        if estimate is None:
            _numbers(figure.subplots(), shown)
            return Drawn(figure, title, f"{_LINES} Expected: {expected_words(answered)}.")
        left, right = figure.subplots(1, 2, width_ratios=(2.4, 1))
        _numbers(left, shown)
        _effect(right, answered)
        return Drawn(figure, title, f"{_LINES} {_EFFECT}")


def _numbers(ax: Axes, shown: Shown) -> None:
    for slot, curve in enumerate(shown.curves):
        _curve(ax, curve, slot)
    names = shown.curves[0].x
    if isinstance(names, tuple):
        short = [style.shortened(name) for name in names]
        wide = sum(map(len, short)) > _LONG
        ax.set_xticks(range(len(names)), short, rotation=25 if wide else 0, ha="right" if wide else "center")
        ax.set_xlim(-0.4, len(names) - 0.6)
    elif shown.logarithmic:
        ax.set_xscale("log")
        found = np.concatenate([np.ravel(curve.x) for curve in shown.curves if not isinstance(curve.x, tuple)])
        ax.set_xlim(found.min() / 1.1, found.max() * 1.1)
        style.ticks(ax, "x", sorted({*map(float, found)} if len(set(found)) < 12 else style.STEPS))
    if shown.logarithmic_y:
        ax.set_yscale("log")
        style.ticks(ax, "y", style.STEPS)
    if shown.level is not None:
        ax.axhline(shown.level, color=style.GREY, linewidth=0.7, linestyle=(0, (1, 1.5)))
    ax.set_xlabel(shown.x_label)
    ax.set_ylabel(shown.y_label)
    if len(shown.curves) > 1:
        ax.legend(loc="best")
    style.despine(ax)


def _curve(ax: Axes, curve: Curve, slot: int) -> None:
    """A thin line for each split, and their mean; where x differs between splits, the mean is of both."""
    its = look(slot)
    x = np.arange(len(curve.x)) if isinstance(curve.x, tuple) else np.asarray(curve.x, dtype=np.float64)
    every = np.broadcast_to(x, curve.y.shape)
    for one, y in zip(every, curve.y, strict=True):
        order = np.argsort(one)
        ax.plot(one[order], y[order], color=its.colour, linewidth=0.5, alpha=0.45, marker=".", markersize=2.5)
    mean_x, mean_y = every.mean(axis=0), np.nanmean(curve.y, axis=0)
    order = np.argsort(mean_x)
    ax.plot(mean_x[order], mean_y[order], color=its.colour, linewidth=1.4, marker=its.marker, markersize=3.4,
            label=curve.name or None)  # fmt: skip


def _effect(ax: Axes, answered: Answered) -> None:
    assert answered.measured is not None
    assert answered.estimate is not None
    values = np.array(list(answered.measured.values.values()))
    mean, low, high, _ = answered.estimate
    ends = [*values, 0.0, *(end for end in (low, high) if np.isfinite(end)), *_margins(answered.question)]
    room = 0.12 * (max(ends) - min(ends) or 1.0)
    bottom, top = min(ends) - room, max(ends) + room
    ax.set_ylim(bottom, top)
    shaded = _shaded(answered.question, bottom, top)
    if shaded is not None:
        ax.axhspan(*shaded, color="#dcebf5", linewidth=0, zorder=0)
    ax.axhline(0, color=style.GREY, linewidth=0.7, zorder=1)
    ax.plot(np.linspace(-0.12, 0.12, len(values)) if len(values) > 1 else [0.0], values, linestyle="none", marker="o",
            markersize=2.8, color=style.GREY, zorder=3)  # fmt: skip
    if np.isfinite(low) and np.isfinite(high):
        ax.plot([0.3, 0.3], [low, high], color="black", linewidth=1.2, zorder=3)
    ax.plot(0.3, mean, marker="o", markersize=4, color="black", linestyle="none", zorder=4)
    ax.set_xlim(-0.35, 0.55)
    ax.set_xticks([])
    ax.set_ylabel("effect")
    style.despine(ax)


def _margins(question: Question) -> list[float]:
    if question.expected == "equal":
        return [question.around - question.margin, question.around + question.margin]
    return [question.margin]


def _shaded(question: Question, bottom: float, top: float) -> tuple[float, float] | None:
    """The effects that were expected; None where nothing was."""
    if question.expected == "either":
        return None
    if question.expected == "equal":
        low, high = _margins(question)
        return low, high
    return (question.margin, top) if question.expected == "above" else (bottom, question.margin)
