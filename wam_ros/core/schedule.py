# SPDX-License-Identifier: Apache-2.0
"""When to infer: whether chunks of this length can hide this latency, and the time of the next one.

With chunks of H rows, d rows passing while one is inferred and s rows between two observations, a
chunk lands before the one before it runs out when ``d <= s <= H - d`` (one inference at a time).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from wam_ros.core.errors import ConfigError
from wam_ros.core.types import NS_PER_S

#: While motion commands, it says what is committed at least this often, and after each chunk [s].
COMMITTED_PACE_S = 0.15


@dataclass(frozen=True)
class Schedule:
    """A feasible rhythm of inference.

    Attributes:
        delay_rows: rows that pass during an inference (d).
        stride_rows: rows between two observations (s).
        horizon: rows of a chunk (H).
        rate_hz: rows per second.
    """

    delay_rows: int
    stride_rows: int
    horizon: int
    rate_hz: float

    @property
    def slack_s(self) -> float:
        """Time that a chunk may be later than expected before the one before it runs out."""
        return (self.horizon - self.delay_rows - self.stride_rows) / self.rate_hz

    @property
    def survives_a_loss(self) -> bool:
        """True when one lost chunk is made up for by the next one in time."""
        return 2 * self.stride_rows + self.delay_rows <= self.horizon

    def next_observation_ns(self, observed_ns: int, landed_ns: int) -> int:
        """Return the capture time from which to infer next.

        Args:
            observed_ns: capture time of the chunk before.
            landed_ns: when it arrived, or when it was given up.
        """
        return max(observed_ns + round(self.stride_rows * NS_PER_S / self.rate_hz), landed_ns)


def schedule(latency_s: float, rate_hz: float, horizon: int, stride_rows: int) -> Schedule:
    """Return the rhythm for a measured latency, at most ``stride_rows`` apart.

    Shorter strides than asked for are taken where they make up for a lost chunk.

    Args:
        latency_s: 95th percentile of observation to landing, warm-up excluded.
        rate_hz: rows per second of the chunks.
        horizon: rows of a chunk.
        stride_rows: the policy's ``execute_rows``.

    Raises:
        ConfigError: when no stride hides the latency, with what would help.
    """
    delay = math.ceil(latency_s * rate_hz - 1e-9)
    if 2 * delay > horizon:
        raise ConfigError(_refusal(latency_s, rate_hz, horizon, delay))
    robust = (horizon - delay) // 2
    stride = max(delay, 1, min(stride_rows, robust))
    return Schedule(delay, min(stride, horizon - delay), horizon, rate_hz)


def _refusal(latency_s: float, rate_hz: float, horizon: int, delay: int) -> str:
    highest = horizon / (2 * latency_s)
    digit = 10.0 ** (math.floor(math.log10(highest)) - 2)
    rate = math.floor(highest / digit) * digit
    return (
        f"chunks of {horizon} rows at {rate_hz:g} Hz cannot hide {1000 * latency_s:.0f} ms: {delay} rows pass during an "
        f"inference, expected at most {horizon // 2}; lower rate_hz to {rate:g} or less (slower motion by "
        f"{rate_hz / rate:.2f}), use a longer horizon or a faster policy, or set the task's method to wait"
    )
