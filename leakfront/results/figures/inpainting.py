"""Inpainting: pool images, the half that the model was given, and the half that it filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.results.figures import Drawn, Figure, NotDrawn, register
from leakfront.results.figures.drawing import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as MatplotlibFigure

    from leakfront.results.run.data import Cell, RunData

ATTACK = "inpainting"
_TRIPLES = 4  # in a row
_ROWS = 2  # of members, and of decoys
_STEP = 3.5  # from one triple to the next, in widths of an image
_MASK = 0.86  # the grey of the masked half


@register("inpainting")
@dataclass(frozen=True)
class Inpainting(Figure):
    """The members with the best scores, and the decoys with the best scores, which the model never saw."""

    title = "Inpainting on the undefended model"
    caption = (
        "The undefended model of the first split (the first model, if the run has no undefended one). Each triple is a "
        "pool image, the same image with its left half masked, and the inpainting with the lowest loss under the "
        "model. Above, in solid blue frames: the members with the best scores. Below, in dashed orange frames: the "
        "decoys with the best scores; the model never saw them, so they show what guessing gives. Numbers: l2 distance "
        "on the masked half, pixels in [0, 1]."
    )

    def draw(self, run: RunData) -> Drawn | NotDrawn:
        summary = run.summary
        cell = run.undefended_cell
        attacks = [] if cell is None else summary.attacks_on(cell.point, cell.split)
        attacks = [attack for attack in attacks if summary.facts.get(attack, {}).get("attack", attack) == ATTACK]
        if cell is None or not attacks:
            return NotDrawn("the inpainting attack was not run on that model")
        arrays = run.scores(cell, attacks[0])
        with style.theme():
            figure = _draw(run, cell, arrays["score"], arrays["inpainted"], arrays["errors"])
        return Drawn(figure, f"Inpainting on {summary.subject}", self.caption)


def _draw(run: RunData, cell: Cell, score: np.ndarray, inpainted: np.ndarray, errors: np.ndarray) -> MatplotlibFigure:
    members, pool = run.members(cell), run.pool_of(cell)["images"]
    shape = pool.shape[-2] / pool.shape[-1]  # height of an image in its widths
    picked = {}
    for name, side in (("member", members), ("decoy", ~members)):
        picked[name] = np.flatnonzero(side)[np.argsort(-score[side], kind="stable")][: _TRIPLES * _ROWS]
    rows = -(-max(len(images) for images in picked.values()) // _TRIPLES)
    line = style.WIDTH / (_STEP * _TRIPLES) * (shape + 0.22) + 0.1
    figure = style.new_figure(0.36 + 2 * rows * line)
    for ax, (name, images) in zip(figure.subplots(2, 1).ravel(), picked.items(), strict=True):
        member = name == "member"
        look = {"edgecolor": style.MEMBER if member else style.DECOY, "linestyle": "-" if member else (0, (2, 1))}
        for place, image in enumerate(images):
            at = (place % _TRIPLES * _STEP, -(place // _TRIPLES) * (shape + 0.75))
            _triple(ax, at, shape, pool[image], inpainted[image], look)
            ax.text(at[0] + 1.53, at[1] - 0.12, f"{errors[image]:.3f}", fontsize=5, ha="center", va="top")
        ax.set_xlim(-0.1, _TRIPLES * _STEP - 0.3)
        ax.set_ylim(-(rows - 1) * (shape + 0.75) - 0.75, shape + 0.1)
        ax.set_aspect("equal", anchor="W")
        ax.set_axis_off()
        ax.set_title(f"{name}s with the best scores", loc="left", pad=2, fontsize=6)
    return figure


def _triple(
    ax: Axes, at: tuple[float, float], shape: float, image: np.ndarray, inpainted: np.ndarray, look: dict[str, Any]
) -> None:
    """Draw an image, its given half and the inpainting in one frame; `at` is the lower left corner."""
    from matplotlib.patches import Rectangle

    masked = image.shape[-1] // 2
    shown = image / 255.0
    shown[..., :masked] = _MASK
    for number, pixels in enumerate((image / 255.0, shown, inpainted / 255.0)):
        left = at[0] + 1.03 * number
        picture = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)
        extent = (left, left + 1, at[1], at[1] + shape)
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest", extent=extent)
    frame = Rectangle((at[0] - 0.05, at[1] - 0.05), 3.16, shape + 0.1, fill=False, linewidth=0.9, clip_on=False, **look)
    ax.add_patch(frame)
