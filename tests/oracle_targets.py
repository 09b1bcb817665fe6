"""The models and targets of `leakfront.testing.oracles`, under the name that the tests use."""

from leakfront.testing.oracles import (
    OUTSIDE,
    POOL,
    SAMPLES,
    captions,
    chosen,
    coins,
    context,
    digits,
    fitted,
    flat,
    measured,
    nearest_pool_image,
    only_samples,
    permuted,
    permuted_shadow,
    pool_view,
    sampled,
    shadow,
    shadows_of,
    target,
    view_of,
)

__all__ = [
    "OUTSIDE", "POOL", "SAMPLES", "captions", "chosen", "coins", "context", "digits", "fitted", "flat", "measured",
    "nearest_pool_image", "only_samples", "permuted", "permuted_shadow", "pool_view", "sampled", "shadow", "shadows_of",
    "target", "view_of",
]  # fmt: skip
