"""What a decision on a release needs of a finished run: a line for each image, and the verdict."""

from __future__ import annotations

import json
from pathlib import Path

from leakfront.harness.store.artifacts import checksum, write_atomically
from leakfront.harness.store.layout import Layout
from leakfront.results.run.data import RunData
from leakfront.results.run.per_image import FILE, per_image
from leakfront.results.verdict.gate import VERDICT, Gate, stored_gate
from leakfront.results.verdict.judge import Verdict, as_json, judge
from leakfront.results.verdict.untried import untried


def write_decision(layout: Layout) -> None:
    """Write per_image.csv, and verdict.json by the gate that it states, or else by the default one.

    They are made from the results and the stored arrays of a run that has written both.
    """
    run = RunData(layout.root)
    write_atomically(layout.root / FILE, per_image(run).to_csv(index=False, lineterminator="\n"))
    if run.summary.points:
        write_verdict(layout, judge(run, stored_gate(layout.root)), layout.root / VERDICT)


def write_verdict(layout: Layout, verdict: Verdict, path: Path) -> None:
    """Write a verdict as JSON: its models and rules, what was not tried, its gate, and the rows that it is about."""
    run = RunData(layout.root)
    content = as_json(verdict) | {
        "not_tried": untried(run, verdict.gate),
        "results_sha256": checksum(layout.root / "results.csv"),
    }
    write_atomically(path, json.dumps(content, indent=1, allow_nan=False))


def verdict_of(layout: Layout, gate: Gate | None) -> Verdict:
    """The verdict on a finished run, by this gate, or else by the one that its verdict.json states, or the default.

    Raises `InputError` for a run without results or with damaged ones.
    """
    from leakfront.errors import InputError
    from leakfront.harness.store.integrity import check_results

    if not (layout.root / "results.csv").is_file():
        raise InputError(f"{layout.root} holds no results yet; finish it with: leakfront run")
    check_results(layout)
    return judge(RunData(layout.root), gate or stored_gate(layout.root))
