"""The pool: drawn once for a run, shared by all of its cells."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from leakfront.datasets.files.facts import FileFacts
from leakfront.datasets.files.listing import printable
from leakfront.documents import load_json
from leakfront.errors import InputError
from leakfront.harness.plan.limits import check_data
from leakfront.harness.plan.plan import Plan
from leakfront.harness.pool.known_membership import (
    build_known_pool,
    load_file_facts,
    load_membership,
    save_file_facts,
    save_membership,
    save_near_copies,
)
from leakfront.harness.pool.near_copies import NearCopies
from leakfront.harness.pool.pool import Pool, PoolSettings, build_pool, flip_coins, load_pool, save_pool
from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.store.artifacts import stored_key
from leakfront.harness.store.code_keys import plugin_code
from leakfront.harness.store.layout import Layout
from leakfront.registry import parameters
from leakfront.results.run.pool_files import NAMES, SUBJECTS

_MEMBERSHIP, _FILES, _NOTES = "membership.safetensors", "files.safetensors", "notes.json"


def pool_settings(plan: Plan) -> PoolSettings:
    """The pool settings of a config, for `build_pool`."""
    data = plan.config.data
    return PoolSettings(
        size=data.pool,
        coin=data.coin,
        reference=data.reference,
        groups=data.duplicates.groups,
        copies=data.duplicates.copies if data.duplicates.groups else 1,
        copy_kind=data.duplicates.kind,
    )


def draw_pool(plan: Plan, layout: Layout) -> Pool:
    """The run's pool, read from its folder if it is there undamaged, else drawn from the data set. Writes nothing.

    Raises `InputError` if the data set cannot be read, or does not have enough images.
    """
    if stored_key(layout.pool) == plan.keys["pool"]:
        with suppress(InputError):  # the run reports the damage at its start, and draws the pool again
            pool = replace(stored_pool(layout), notes=_stored_notes(layout))
            if not plan.known_membership:
                return pool
            files, near = load_file_facts(layout.pool / _FILES)
            return replace(pool, membership=load_membership(layout.pool / _MEMBERSHIP), files=files, near=near)
    images = plan.dataset.load()
    check_data(plan.config, images.images[:1].nbytes)
    try:
        if images.roles is not None:
            return build_known_pool(images, plan.config.data.reference, plan.config.seed, plan.extractor.fitted)
        return build_pool(images, pool_settings(plan), plan.config.seed)
    except InputError as error:
        raise InputError(f"data: {error}") from None


def _stored_notes(layout: Layout) -> tuple[str, ...]:
    try:
        return tuple(map(str, load_json(layout.pool / _NOTES)))
    except (TypeError, ValueError) as error:
        raise InputError(f"{layout.pool / _NOTES} cannot be read ({error}); delete its folder") from None


def stored_file_facts(layout: Layout) -> tuple[FileFacts | None, NearCopies]:
    """For controls of known membership: the facts of the pool images' files, if they have files, and near copies."""
    return load_file_facts(layout.pool / _FILES)


def stored_pool(layout: Layout, check: bool = True) -> Pool:
    """The pool in the run's folder, mapped, without its membership. check: see `load_pool`."""
    return load_pool(layout.pool / "pool.safetensors", check)


def members_of(plan: Plan, layout: Layout, pool: Pool, split: int) -> np.ndarray:
    """The members in `split`, bool [P]: by coin flips, or as the data set states them."""
    if not plan.known_membership:
        return flip_coins(pool, pool_settings(plan), plan.config.seed, split)
    return pool.membership if pool.membership is not None else load_membership(layout.pool / _MEMBERSHIP)


def member_share(plan: Plan, members: np.ndarray) -> float:
    """The probability of being a member: the coin's, or with known membership the share in `members`, bool [P]."""
    return float(members.mean()) if plan.known_membership else plan.config.data.coin


def _settings(subject: Subject) -> list[Any]:
    config, dataset = subject.plan.config, subject.plan.dataset
    # the location of the files does not matter, only their content
    nowhere = ("root", "download", "path", *dataset.places)
    params = {key: value for key, value in parameters(dataset).items() if key not in nowhere}
    data = config.data
    known = [subject.plan.extractor.fitted] if subject.plan.known_membership else []
    return [type(dataset).__name__, params, data.pool, data.reference, data.duplicates.model_dump(), config.seed,
            subject.plan.data.content, *known]  # fmt: skip


def _code(subject: Subject) -> list[str]:
    plan, planted = subject.plan, subject.plan.config.data.duplicates
    altered = ["planted_duplicates"] if planted.groups and planted.kind != "exact" else []
    known = ["known_membership", "near_copies"] if plan.known_membership else []
    files = ["pool", *altered, *known]
    return [*(f"leakfront.harness.pool.{name}" for name in files), *plugin_code(plan.dataset)]


def _run(work: Work) -> Files:
    pool = work.pool
    files: dict[str, Any] = {"pool.safetensors": partial(save_pool, pool), _NOTES: list(pool.notes)}
    if pool.files is not None:
        files[NAMES] = partial(_save_texts, pool.files.names)
    if pool.subject_names is not None:
        files[SUBJECTS] = partial(_save_texts, pool.subject_names)
    if pool.membership is not None and pool.near is not None:
        files[_MEMBERSHIP] = partial(save_membership, pool)
        files[_FILES] = partial(save_file_facts, pool)
        files["near_copies.csv"] = partial(save_near_copies, pool)
    return files


def _save_texts(texts: Sequence[str], path: Path) -> None:
    """Write a text for each pool image, one a line; unprintable characters are escaped as in Python."""
    path.write_text("".join(f"{printable(text)}\n" for text in texts), encoding="utf-8")


POOL = Stage("pool", "run", inputs=(), settings=_settings, code=_code, run=_run)
