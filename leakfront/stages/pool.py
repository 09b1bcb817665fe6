"""The pool: drawn once for a run, shared by all of its cells."""

from __future__ import annotations

from contextlib import suppress

from leakfront.errors import InputError
from leakfront.layout import Layout
from leakfront.limits import check_data
from leakfront.plan import Plan
from leakfront.pool import Pool, PoolSettings, build_pool, load_pool, save_pool
from leakfront.store import stored_key, writing


def pool_settings(plan: Plan) -> PoolSettings:
    """The config's pool, as `leakfront.pool` takes it."""
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
            return stored_pool(layout)
    images = plan.dataset.load()
    check_data(plan.config, images.images[:1].nbytes)
    try:
        return build_pool(images, pool_settings(plan), plan.config.seed)
    except InputError as error:
        raise InputError(f"data: {error}") from None


def store_pool(plan: Plan, layout: Layout, pool: Pool) -> None:
    """Write the pool to the run's folder, if it is not there already."""
    if stored_key(layout.pool) != plan.pool_key:
        with writing(layout.pool, plan.pool_key) as place:
            save_pool(pool, place / "pool.safetensors")


def stored_pool(layout: Layout) -> Pool:
    """The pool in the run's folder."""
    return load_pool(layout.pool / "pool.safetensors")
