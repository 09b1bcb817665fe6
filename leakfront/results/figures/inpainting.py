"""What inpainting gives back: pool images, the half that was shown, and the half that the model filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from leakfront.results.figures import figures
from leakfront.results.figures.drawing import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from leakfront.results.run.data import Cell, RunData

ATTACK = "inpainting"
_TRIPLES = 4  # in a row
_ROWS = 2  # of members, and of decoys
_STEP = 3.5  # from one triple to the next, in widths of an image
_MASK = 0.86  # the grey of the masked half


@figures.register("inpainting")
class Inpainting:
    """The best-scored members, and the best-scored decoys, which the model cannot know."""

    title = "Inpainting on the undefended model"
    caption = (
        "The undefended model of the first split (where the run has none: its first model). Each triple is a pool "
        "image, the same with its left half masked, and the inpainting with the lowest loss under the model. Above, "
        "framed in solid blue: the members with the best scores. Below, framed in dashed orange: the decoys with the "
        "best scores, which the model never saw, so that they show what guessing gives. Numbers: l2 distance on the "
        "masked half, pixels in 0 to 1."
    )

    def __init__(self) -> None:
        self.reason = ""

    def draw(self, run: RunData) -> Figure | None:
        summary, cell = run.summary, run.undefended_cell
        attacks = [] if cell is None else summary.attacks_on(cell.point, cell.split)
        attacks = [attack for attack in attacks if summary.facts.get(attack, {}).get("attack", attack) == ATTACK]
        if cell is None or not attacks:
            self.reason = "the inpainting attack was not run on that model"
            return None
        self.title = f"Inpainting on {summary.subject}"
        arrays = run.scores(cell, attacks[0])
        with style.theme():
            return _draw(run, cell, arrays["score"], arrays["inpainted"], arrays["errors"])


def _draw(run: RunData, cell: Cell, score: np.ndarray, inpainted: np.ndarray, errors: np.ndarray) -> Figure:
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
    """An image, the half of it that is shown, and what was made of that, in a frame; `at` is its lower left corner."""
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
