# SPDX-License-Identifier: Apache-2.0
"""The numbers of real-time chunking: which rows are held to the committed prefix, and how hard.

Flow time tau runs from 0 (noise) to 1 (data); a diffusion sigma is 1 - tau. A chunk of H rows is
conditioned on a prefix: the first d rows will already be executed when it takes over and are frozen, and
from there to row H - s, where the previous chunk ends, its influence fades.

Source: real-time chunking, arXiv 2506.07339; Physical-Intelligence/real-time-chunking-kinetix src/model.py.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.types import FloatArray

Fade = Literal["exp", "linear", "zeros", "ones"]


def prefix_weights(horizon: int, delay_rows: int, execute_rows: int, fade: Fade = "exp") -> FloatArray:
    """Return how hard each row is held to the previous chunk, (H,) in 0..1.

    Args:
        horizon: H, rows of a chunk.
        delay_rows: d, rows that will be executed before the new chunk takes over; weight 1.
        execute_rows: s, rows executed between two inferences; the last s rows are free.
        fade: how the weight falls between: ``exp`` c (e^c - 1)/(e - 1) of the ``linear`` c, ``zeros``
            (nothing beyond d), ``ones`` (all up to H - s).

    Raises:
        ConfigError: if d or s does not lie in 0..H.
    """
    if not (0 <= delay_rows <= horizon and 0 <= execute_rows <= horizon):
        raise ConfigError(
            mismatch(
                "prefix",
                f"delay and executed rows in 0..{horizon}",
                (delay_rows, execute_rows),
                "lower the rate or the latency",
            )
        )
    rows = np.arange(horizon)
    end = horizon - execute_rows
    start = min(delay_rows, end)
    if fade == "zeros":
        weights = (rows < start).astype(np.float64)
    elif fade == "ones":
        weights = (rows < end).astype(np.float64)
    else:
        weights = np.clip((start - 1 - rows) / (end - start + 1) + 1, 0.0, 1.0)
        if fade == "exp":
            weights = weights * np.expm1(weights) / np.expm1(1.0)
    return np.where(rows < end, weights, 0.0)


def guidance_weight(tau: float, largest: float, prior_deviation: float = 1.0) -> float:
    """Return how strongly the estimate is pulled to the prefix at one flow time.

    ``min(beta, (1 - tau)/tau * ((1 - tau)^2 + sd^2 tau^2) / (sd^2 (1 - tau)^2))``. With sd = 1 this is the
    published weight; a smaller sd (the spread of actions given the observation) corrects for the prior.

    Args:
        tau: flow time, 0 noise to 1 data.
        largest: beta; 5 as published, or the number of steps with a prior.
        prior_deviation: sd.
    """
    if tau <= 0.0 or tau >= 1.0:
        return largest
    left = 1.0 - tau
    spread = prior_deviation**2
    return float(min(largest, left / tau * (left**2 + spread * tau**2) / (spread * left**2)))
