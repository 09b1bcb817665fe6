"""Distance metrics, one file each: s samples, T members and H decoys, equally many.

`memorized_share` is that of papers on memorization, and compares samples with all training images. The others are those
of the synthetic-data trade.

They stand beside extraction for comparison, and no verdict rests on them: many samples that are no copies drown a few
that are (docs/distance-metrics.md). Every distance is the root mean square difference of pixels in [0, 1].
"""

# the range that each cannot leave; None where there is no bound
RANGES: dict[str, tuple[float | None, float | None]] = {
    "dcr_share": (0.0, 1.0),
    "nndr_ratio": (0.0, None),
    "authenticity_gap": (-1.0, 1.0),
    "identifiability_gap": (-1.0, 1.0),
    "n_copies": (0.0, 1.0),
    "c_t": (None, None),
    "memorized_share": (0.0, 1.0),
}
