"""Save a figure larger than it was drawn, type and lines included: renderers take sizes in points, with no scale."""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_pdf(figure: Figure, to: IO[bytes], factor: float, metadata: dict[str, Any]) -> None:
    """Save as `savefig` does (print_pdf in matplotlib.backends.backend_pdf), on a page `factor` times as large.

    The figure must be laid out already, see `style.laid_out`.
    """
    from matplotlib.backends import backend_pdf

    pdf: Any = backend_pdf  # untyped
    width, height = (float(inches) for inches in figure.get_size_inches())
    dpi = figure.dpi
    figure.dpi = 72
    file = pdf.PdfFile(to, metadata=metadata)
    try:
        file.newPage(factor * width, factor * height)
        file.output(factor, 0, 0, factor, 0, 0, pdf.Op.concat_matrix)
        renderer = pdf.RendererPdf(file, dpi, height, width)
        figure.draw(renderer)
        renderer.finalize()
        file.finalize()
    finally:
        file.close()
        figure.dpi = dpi


def enlarged_svg(svg: bytes, factor: float) -> bytes:
    """The picture with `factor` times the width and height and the same view box."""
    text = svg.decode()
    size = re.search(r'<svg [^>]*?width="([\d.]+)pt" height="([\d.]+)pt"', text)
    assert size is not None
    width, height = (f"{factor * float(points):.6g}" for points in size.groups())
    stated = size[0].replace(f'"{size[1]}pt"', f'"{width}pt"').replace(f'"{size[2]}pt"', f'"{height}pt"')
    return text.replace(size[0], stated, 1).encode()
