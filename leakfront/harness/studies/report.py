"""The report over the studies in a folder."""

from __future__ import annotations

from pathlib import Path

from leakfront.errors import InputError
from leakfront.harness.report import PAGE, check_place
from leakfront.harness.store.artifacts import writing
from leakfront.harness.store.integrity import check_results, is_sealed
from leakfront.harness.studies.folder import StudyFolder, studies_in
from leakfront.harness.studies.load import questions_of
from leakfront.results.run.data import RunData
from leakfront.results.studies.judging.answer import NOT_JUDGED, Answered, StudyResult, answered
from leakfront.results.studies.judging.data import StudyData
from leakfront.results.studies.judging.report import write_report


def draw_studies(folder: Path, out: Path, theme: str = "paper") -> Path:
    """Judge the study or the studies in a folder, write the report to `out` and return its page.

    A study without results is named there. Raises `InputError` for a folder without studies, for damaged results, and
    for `out` if it holds anything but a report.
    """
    found = studies_in(folder)
    if not found:
        raise InputError(f"{folder} holds no study (there is no study.toml in it or in its folders)")
    check_place(out)
    results = [result_of(study) for study in found]
    with writing(out, "studies") as place:
        write_report(results, place, theme)
    return out / PAGE


def result_of(folder: StudyFolder) -> StudyResult:
    """A study with the answers that its finished runs give."""
    config, arms = folder.config, folder.arms
    study = config.study
    assert study is not None
    questions = questions_of(study)
    missing = [name for name, layout in arms.items() if not (layout.root / "results.csv").is_file()]
    if missing:
        reason = f"{', '.join(missing)} of its runs {'has' if len(missing) == 1 else 'have'} no results yet"
        answers = tuple(Answered(question, NOT_JUDGED, reason) for question in questions)
    else:
        for layout in arms.values():
            check_results(layout)
        data = StudyData({name: RunData(layout.root, is_sealed(layout)) for name, layout in arms.items()})
        answers = tuple(answered(question, data) for question in questions)
    unfinished = [name for name, layout in arms.items() if name not in missing and not is_sealed(layout)]
    note = f"Unfinished: {', '.join(unfinished)}; finish with: leakfront run." if unfinished else ""
    return StudyResult(
        config.name,
        config.title or config.name,
        study.statement,
        study.source,
        answers,
        study.cannot,
        study.scale,
        note,
    )
