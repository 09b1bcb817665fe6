"""Does a number rise from one setting to the next? Page's test, with splits as blocks."""

from __future__ import annotations

import math

import numpy as np
from scipy import stats


def trend_p_values(values: np.ndarray) -> tuple[float, float]:
    """(p of a rise, p of a fall): Page's L (Page 1963), one-sided each, for values float [S, K].

    Rows are splits, columns settings in their order. The null hypothesis is that within each split every order of the K
    values is equally likely. So one training per split and setting is enough, and splits may differ in level. Equal
    values share their mean rank. The distribution is exact for small tables and otherwise normal, as SciPy decides.
    Splits with a value that is not finite are left out.

    nan with fewer than three settings or two splits. Raises `ValueError` unless `values` has two dimensions.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2:
        raise ValueError(f"the values have {table.ndim} dimensions, not splits and settings")
    table = table[np.isfinite(table).all(axis=1)]
    if table.shape[1] < 3 or len(table) < 2:
        return math.nan, math.nan
    rise = stats.page_trend_test(table).pvalue
    fall = stats.page_trend_test(table[:, ::-1]).pvalue
    return float(rise), float(fall)
