"""The pool: drawn once for a run, shared by all of its cells."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from leakfront.errors import InputError
from leakfront.harness.plan.limits import check_data
from leakfront.harness.plan.plan import Plan
from leakfront.harness.pool.known_membership import build_known_pool, load_membership, save_membership
from leakfront.harness.pool.pool import Pool, PoolSettings, build_pool, flip_coins, load_pool, save_pool
from leakfront.harness.stages.stage import Files, Stage, Subject, Work
from leakfront.harness.store.artifacts import stored_key
from leakfront.harness.store.code_keys import plugin_code
from leakfront.harness.store.layout import Layout
from leakfront.registry import parameters

_MEMBERSHIP = "membership.safetensors"


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
            pool = stored_pool(layout)
            if not plan.known_membership:
                return pool
            return replace(pool, membership=load_membership(layout.pool / _MEMBERSHIP))
    images = plan.dataset.load()
    check_data(plan.config, images.images[:1].nbytes)
    try:
        if images.roles is not None:
            return build_known_pool(images, plan.config.data.reference, plan.config.seed)
        return build_pool(images, pool_settings(plan), plan.config.seed)
    except InputError as error:
        raise InputError(f"data: {error}") from None


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
    return [type(dataset).__name__, params, data.pool, data.reference, data.duplicates.model_dump(), config.seed,
            subject.plan.data.content]  # fmt: skip


def _code(subject: Subject) -> list[str]:
    plan, planted = subject.plan, subject.plan.config.data.duplicates
    altered = ["planted_duplicates"] if planted.groups and planted.kind != "exact" else []
    files = ["pool", *altered, *(["known_membership"] if plan.known_membership else [])]
    return [*(f"leakfront.harness.pool.{name}" for name in files), *plugin_code(plan.dataset)]


def _run(work: Work) -> Files:
    files: dict[str, Any] = {"pool.safetensors": partial(save_pool, work.pool)}
    if work.pool.membership is not None:
        files[_MEMBERSHIP] = partial(save_membership, work.pool)
    return files


POOL = Stage("pool", "run", inputs=(), settings=_settings, code=_code, run=_run)
