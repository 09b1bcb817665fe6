"""To Trackio: one run whose only step has all numbers, and the settings as its config."""

from __future__ import annotations

from leakfront.results.export.numbers import Export


def send(export: Export, project: str) -> None:
    """Log to a project in Trackio's folder (TRACKIO_DIR), or where TRACKIO_SPACE_ID or TRACKIO_SERVER_URL says.

    Trackio's own records of processor and GPU are turned off.
    """
    import trackio

    trackio.init(
        project=project, name=export.name, config=export.settings, embed=False, auto_log_gpu=False, auto_log_cpu=False
    )
    try:
        trackio.log(export.numbers)
    finally:
        trackio.finish()
