# SPDX-License-Identifier: Apache-2.0
"""Statistics of an episode's columns and pictures, and of all episodes together, in the form of LeRobot v3.0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.types import FloatArray

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}
#: Feature to statistic to array; ``count`` has shape (1,).
Stats = dict[str, dict[str, FloatArray]]
#: Every so many frames of a video one is looked at.
SAMPLED_EVERY = 5
_SAMPLED_PIXELS = 150


def of_values(values: NDArray[Any]) -> dict[str, FloatArray]:
    """Return the statistics of (N, d) values."""
    data = np.asarray(values, dtype=np.float64)
    out = {
        "min": data.min(axis=0),
        "max": data.max(axis=0),
        "mean": data.mean(axis=0),
        "std": data.std(axis=0),
        "count": np.array([float(len(data))]),
    }
    return out | {name: np.quantile(data, share, axis=0) for name, share in QUANTILES.items()}


class Histogram:
    """How often each value occurred in the pictures of one stream; all statistics follow from it.

    Args:
        channels: 3 for colour, 1 for depth.
        levels: number of possible values.
    """

    def __init__(self, channels: int, levels: int) -> None:
        self.pictures = 0
        self.counts = np.zeros((channels, levels), dtype=np.int64)

    def add(self, picture: NDArray[Any]) -> None:
        """Count a picture, thinned out to about 150 pixels a side."""
        step = max(1, min(picture.shape[:2]) // _SAMPLED_PIXELS)
        thin = picture[::step, ::step].reshape(-1, len(self.counts))
        for channel, counts in enumerate(self.counts):
            counts += np.bincount(thin[:, channel], minlength=counts.size)
        self.pictures += 1

    def statistics(self) -> dict[str, FloatArray]:
        """Return them per channel, scaled to 0..1, of shape (C, 1, 1)."""
        top = self.counts.shape[1] - 1
        per_channel = [self._of_channel(counts, top) for counts in self.counts]
        out = {name: np.array([c[name] for c in per_channel]).reshape(-1, 1, 1) for name in per_channel[0]}
        return out | {"count": np.array([float(self.pictures)])}

    @staticmethod
    def _of_channel(counts: NDArray[np.int64], top: int) -> dict[str, float]:
        total, scaled = max(int(counts.sum()), 1), np.arange(top + 1) / top
        seen = np.flatnonzero(counts)
        if not len(seen):
            return dict.fromkeys(("min", "max", "mean", "std", *QUANTILES), 0.0)
        mean = float(counts @ scaled / total)
        variance = float(counts @ (scaled - mean) ** 2 / total)
        rising = np.cumsum(counts)
        quantiles = {n: float(scaled[np.searchsorted(rising, share * total)]) for n, share in QUANTILES.items()}
        return {"min": scaled[seen[0]], "max": scaled[seen[-1]], "mean": mean, "std": variance**0.5, **quantiles}


def together(episodes: Sequence[Stats]) -> Stats:
    """Return the statistics of all episodes; quantiles are means of the episodes', weighted by their length."""
    keys = episodes[0].keys() if episodes else ()
    return {key: _together([stats[key] for stats in episodes]) for key in keys}


def _together(parts: Sequence[Mapping[str, FloatArray]]) -> dict[str, FloatArray]:
    counts = np.array([float(part["count"][0]) for part in parts])
    share = counts / max(counts.sum(), 1.0)

    def weighted(arrays: list[FloatArray]) -> FloatArray:
        return np.asarray(np.tensordot(share, np.array(arrays), axes=1), dtype=np.float64)

    mean = weighted([part["mean"] for part in parts])
    variance = weighted([part["std"] ** 2 + (part["mean"] - mean) ** 2 for part in parts])
    out = {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": mean,
        "std": np.sqrt(variance),
        "count": np.array([counts.sum()]),
    }
    return out | {name: weighted([part[name] for part in parts]) for name in QUANTILES}


def as_lists(stats: Stats) -> dict[str, dict[str, Any]]:
    """Return plain numbers for JSON; counts are whole."""
    return {
        key: {name: [int(v) for v in a] if name == "count" else a.tolist() for name, a in of.items()}
        for key, of in stats.items()
    }


def from_lists(data: Mapping[str, Mapping[str, Any]]) -> Stats:
    """Return arrays of what :func:`as_lists` gave."""
    return {key: {name: np.array(v, dtype=np.float64) for name, v in of.items()} for key, of in data.items()}
