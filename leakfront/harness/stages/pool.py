"""The pool: drawn once for a run, shared by all of its cells."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import numpy as np

from leakfront.errors import InputError
from leakfront.harness.plan.limits import check_data
from leakfront.harness.plan.plan import Plan
from leakfront.harness.pool.known_membership import build_given_pool, load_membership, save_membership
from leakfront.harness.pool.pool import Pool, PoolSettings, build_pool, flip_coins, load_pool, save_pool
from leakfront.harness.store.artifacts import stored_key, writing
from leakfront.harness.store.layout import Layout

_MEMBERSHIP = "membership.safetensors"


def pool_settings(plan: Plan) -> PoolSettings:
    """The config's pool, as `leakfront.harness.pool.pool` takes it."""
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
    """The run's pool: from its folder if it is there unharmed, else drawn from the data set. Writes nothing."""
    if stored_key(layout.pool) == plan.pool_key:
        with suppress(InputError):  # what is wrong with it is said, and mended, when the run begins
            pool = stored_pool(layout)
            return replace(pool, membership=load_membership(layout.pool / _MEMBERSHIP)) if plan.is_given else pool
    images = plan.dataset.load()
    check_data(plan.config, images.images[:1].nbytes)
    try:
        if images.roles is not None:
            return build_given_pool(images, plan.config.data.reference, plan.config.seed)
        return build_pool(images, pool_settings(plan), plan.config.seed)
    except InputError as error:
        raise InputError(f"data: {error}") from None


def store_pool(plan: Plan, layout: Layout, pool: Pool) -> None:
    """Write the pool to the run's folder, if it is not there already."""
    if stored_key(layout.pool) != plan.pool_key:
        with writing(layout.pool, plan.pool_key) as place:
            save_pool(pool, place / "pool.safetensors")
            if pool.membership is not None:
                save_membership(pool, place / _MEMBERSHIP)


def stored_pool(layout: Layout) -> Pool:
    """The pool in the run's folder, without who the members are."""
    return load_pool(layout.pool / "pool.safetensors")


def members_of(plan: Plan, layout: Layout, pool: Pool, split: int) -> np.ndarray:
    """Who is a member in `split`, bool [P]: by coins, or as the data set states it."""
    if not plan.is_given:
        return flip_coins(pool, pool_settings(plan), plan.config.seed, split)
    return pool.membership if pool.membership is not None else load_membership(layout.pool / _MEMBERSHIP)


def member_share(plan: Plan, members: np.ndarray) -> float:
    """The probability of being a member: the coin's, or the share of the members that were given, bool [P]."""
    return float(members.mean()) if plan.is_given else plan.config.data.coin
