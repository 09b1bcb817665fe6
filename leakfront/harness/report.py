"""Draw the report of one run or several: tables, figures and a page; anew unless it was drawn here and is current."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from leakfront.errors import InputError
from leakfront.harness.store.artifacts import MANIFEST, checksum, read_manifest, writing
from leakfront.harness.store.code_keys import content_key, with_imports
from leakfront.harness.store.integrity import check_results, is_sealed
from leakfront.harness.store.layout import Layout
from leakfront.harness.store.own_pages import SIGNATURE, is_own, sign

PAGE = "index.html"
SHAREABLE = "shareable"
_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)


def draw_report(
    runs: Sequence[Layout],
    folder: Path,
    force: bool = False,
    theme: str = "paper",
    ending: bool = False,
    marks: Path | None = None,
) -> Path:
    """Write the report of runs to `folder` and return its page. Unfinished runs are labelled there.

    theme: that of the figures, see `drawing.themes`. force: merge runs even if their numbers are not comparable (they
    differ in suite or protocol); the report then says so. ending: the run draws its own report, just before its seal;
    then it has no label. marks: a file with a person's verdicts on the sheet of copies of the one run. An existing
    folder is replaced only if it holds a report.
    Raises `InputError` for runs without results or damaged ones, for runs that cannot be merged, and for a folder that
    holds anything else; and `OSError`.
    """
    _check(runs, folder)
    inputs = [checksum(layout.root / name) for layout in runs for name in ("results.csv", "run.json")]
    from leakfront.results.figures import drawn_names, figures
    from leakfront.results.page import assets
    from leakfront.results.run.data import RunData
    from leakfront.results.verdict.gate import gate_of

    verdicts = _marks(runs, marks)
    data = [RunData(layout.root, finished=ending or is_sealed(layout), marks=verdicts) for layout in runs]
    drawn_by = [type_name for name in drawn_names(data) for type_name in with_imports(figures.get(name).__module__)]
    code = sorted({*with_imports("leakfront.results.report"), *drawn_by})
    finished = [run.finished for run in data]
    gates = [gate_of(run).model_dump(mode="json") for run in data]
    key = content_key("report", [force, theme, finished, assets.version(), gates, verdicts], inputs, code)
    if not is_own(folder, key):
        from leakfront.results.report import write_report

        _write(folder, key, lambda place: write_report(data, place, force, theme))
        sign(folder)
    return folder / PAGE


def draw_shareable(
    runs: Sequence[Layout], folder: Path, force: bool = False, theme: str = "paper"
) -> tuple[Path, list[str]]:
    """Write a report that may be shared, and return its page and what it leaves out, in sentences.

    It has no pictures of images, and no paths, names of files, folders and users; see `results.run.shareable`. It is
    always drawn anew, and not signed. The rest is as in `draw_report`.
    """
    _check(runs, folder)
    from leakfront.harness.shareable import left_out, shareable_runs
    from leakfront.results.report import write_report

    data = shareable_runs(runs)
    sentences = left_out(data)
    _write(folder, SHAREABLE, lambda place: write_report([*data], place, force, theme, sentences))
    return folder / PAGE, sentences


def _marks(runs: Sequence[Layout], file: Path | None) -> dict[str, str]:
    """The verdicts in a file of marks, which must be about the one run; none without a file."""
    if file is None:
        return {}
    from leakfront.results.run.copies import copies_of
    from leakfront.results.run.data import RunData
    from leakfront.results.run.marks import check_marks, read_marks

    if len(runs) != 1:
        raise InputError("marks are about the captions of one run; draw its report alone")
    marks = read_marks(file)
    check_marks(file, marks, {copy.key for copy in copies_of(RunData(runs[0].root))})
    return marks


def _check(runs: Sequence[Layout], folder: Path) -> None:
    """Raise `InputError` for runs without results, for damaged ones, and for a folder that holds no report."""
    for layout in runs:
        if not (layout.root / "results.csv").is_file() or not (layout.root / "run.json").is_file():
            raise InputError(f"{layout.root} holds no results yet; finish it with: leakfront run")
        check_results(layout)
    check_place(folder)


def check_place(folder: Path) -> None:
    """Raise `InputError` for a folder that is not empty and holds no report, or other files beside it.

    A new report replaces the whole folder. Files whose names begin with a dot are those of file managers.
    """
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not ((folder / MANIFEST).exists() and (folder / PAGE).exists()):
        raise InputError(f"{folder} is not empty and holds no report; give another folder with --out")
    manifest = read_manifest(folder)
    known = {MANIFEST, SIGNATURE, *(manifest["files"] if manifest else ())}
    files = (path.relative_to(folder) for path in sorted(folder.rglob("*")) if path.is_file())
    other = [name.as_posix() for name in files if name.as_posix() not in known and not name.name.startswith(".")]
    if manifest and other:
        raise InputError(
            f"{folder / other[0]} is no part of the report, which is replaced as a whole; move it out of the folder"
        )


def _write(folder: Path, key: str, draw: Callable[[Path], object]) -> None:
    """Draw a report and put it in place of what the folder holds."""
    with writing(folder, key) as place:
        draw(place)


@contextmanager
def written_elsewhere(folder: Path) -> Iterator[None]:
    """Turn the system's refusal to write a report to a folder into one sentence that says where to write it."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NOT_WRITABLE:
            raise
        there = "; the report in it was drawn elsewhere or is out of date" if (folder / PAGE).exists() else ""
        raise InputError(
            f"{folder} cannot be written to ({error.strerror}){there}; give a folder of your own with --out"
        ) from None
