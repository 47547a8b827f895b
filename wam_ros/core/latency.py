# SPDX-License-Identifier: Apache-2.0
"""How late a device is: one signal is another one, delayed, scaled and shifted; by how much, and how sure.

For an arm the earlier signal is the commanded joint and the later one the measured; for a camera the earlier one is
where the calibrated robot says a point must appear in the picture, and the later one where the picture shows it, at
the picture's stamp. The delay that maximises their correlation is found between samples, on a spline of the earlier
signal, so that cameras of 30 Hz are placed to a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import minimize_scalar
from scipy.special import stdtrit

from wam_ros.core.errors import CalibrationError
from wam_ros.core.types import FloatArray

STEP_S = 0.004
"""Of the coarse search."""
LEAST_CORRELATION = 0.9
LARGEST_RIVAL = 0.98
"""Of the second best delay's correlation, as a share of the best; periodic motion has rivals."""
RIVAL_DISTANCE_S = 0.1
LEAST_SAMPLES = 30
STAMPED = 0.1
"""Share of the earlier signal's period to which its stamps are believed."""
STRETCHES = 8
"""Of a recording that are held against each other; of 20 s each is longer than residuals resemble themselves."""


@dataclass(frozen=True)
class Signal:
    """Values over time.

    Attributes:
        time_s: (N,) increasing.
        value: (N, D) of one or several channels, all delayed alike.
    """

    time_s: FloatArray
    value: FloatArray

    def __post_init__(self) -> None:
        if self.value.ndim != 2 or len(self.time_s) != len(self.value):
            raise CalibrationError(
                f"latency: expected (N,) times and (N, D) values, got {self.time_s.shape} and {self.value.shape}"
            )
        if len(self.time_s) < LEAST_SAMPLES:
            raise CalibrationError(
                f"latency: expected at least {LEAST_SAMPLES} samples, got {len(self.time_s)}; record longer"
            )
        if not (np.diff(self.time_s) > 0).all() or not np.isfinite(self.value).all():
            raise CalibrationError(
                "latency: times must increase and values be finite; drop repeated and broken samples"
            )


@dataclass(frozen=True)
class Delay:
    """What was found.

    Attributes:
        delay_s: of the later signal; ``interval_s`` the half width of its 95 % interval.
        correlation: of the two signals at that delay.
    """

    delay_s: float
    interval_s: float
    correlation: float


def find_delay(earlier: Signal, later: Signal, longest_s: float = 0.5, shortest_s: float = 0.0) -> Delay:
    """Return by how much ``later`` comes after ``earlier``.

    Args:
        earlier: command, or what the robot predicts; sampled finely enough to be interpolated.
        later: measurement; any rate.
        longest_s, shortest_s: bounds of the search; a negative one permits stamps that are too early.

    Raises:
        CalibrationError: nothing moves, the signals do not resemble each other, or several delays fit as well.
    """
    if shortest_s >= longest_s:
        raise CalibrationError(f"latency: expected shortest_s < longest_s, got {shortest_s} and {longest_s}; swap them")
    fit = _Fit(earlier, later, longest_s, shortest_s)
    grid = np.arange(shortest_s, longest_s + STEP_S / 2, STEP_S)
    correlation = np.array([fit.correlation(delay) for delay in grid])
    best = int(correlation.argmax())
    if correlation[best] < LEAST_CORRELATION:
        raise CalibrationError(
            f"latency: the signals resemble each other too little (correlation {correlation[best]:.2f}, at least "
            f"{LEAST_CORRELATION} wanted); move farther and faster, and check that both are of the same joint or camera"
        )
    if best in (0, len(grid) - 1):
        raise CalibrationError(
            f"latency: the best delay lies at the end of the search, {grid[best] * 1e3:.0f} ms; search farther, or "
            f"check whose clock makes the stamps"
        )
    far = np.abs(grid - grid[best]) > RIVAL_DISTANCE_S
    if far.any() and correlation[far].max() > LARGEST_RIVAL * correlation[best]:
        raise CalibrationError("latency: several delays fit as well; the motion repeats itself: move irregularly")
    found = minimize_scalar(lambda d: -fit.correlation(d), bounds=(grid[best - 1], grid[best + 1]), method="bounded")
    return Delay(float(found.x), fit.interval_s(float(found.x)), fit.correlation(float(found.x)))


class _Fit:
    """The later signal as gain x earlier(t - delay) + offset, channel by channel."""

    def __init__(self, earlier: Signal, later: Signal, longest_s: float, shortest_s: float) -> None:
        self._spline = CubicSpline(earlier.time_s, earlier.value)
        begin, end = earlier.time_s[0] + max(longest_s, 0.0), earlier.time_s[-1] + min(shortest_s, 0.0)
        inside = (later.time_s >= begin) & (later.time_s <= end)
        if inside.sum() < LEAST_SAMPLES:
            raise CalibrationError(
                f"latency: expected {LEAST_SAMPLES} samples in the time that both signals share, got {inside.sum()}; record longer"
            )
        self._time_s = later.time_s[inside]
        self._later = later.value[inside] - later.value[inside].mean(axis=0)
        if not (self._later**2).sum() > 0 or np.ptp(earlier.value, axis=0).max() <= 0:
            raise CalibrationError("latency: nothing moves; move the device while recording")

    def correlation(self, delay_s: float) -> float:
        """Share of the later signal that the delayed one explains, as a correlation."""
        return float(np.sqrt(max(1 - (self._residual(delay_s)[0] ** 2).sum() / (self._later**2).sum(), 0.0)))

    def interval_s(self, delay_s: float) -> float:
        """Half width of the 95 % interval: what stretches of the recording say of the delay, each for itself.

        Residuals of neighbours are alike for as long as a pose lasts, for they come from the calibration and the lens; so
        stretches count, not samples, and there are few (cluster-robust errors, Cameron and Miller 2015). What they have in
        common, such as where within its period a sample is stamped, none of them can tell.
        """
        residual, gain = self._residual(delay_s)
        slope = gain * self._spline(self._time_s - delay_s, 1)
        slope = slope - slope.mean(axis=0)
        score = (residual * slope).sum(axis=1)
        stretch = np.array([part.sum() for part in np.array_split(score, STRETCHES)])
        spread = float(np.sqrt(STRETCHES / (STRETCHES - 1) * (stretch**2).sum()))
        apart_s = float(stdtrit(STRETCHES - 1, 0.975)) * spread / float((slope**2).sum())
        return float(np.hypot(apart_s, STAMPED * np.median(np.diff(self._spline.x))))

    def _residual(self, delay_s: float) -> tuple[FloatArray, FloatArray]:
        earlier = self._spline(self._time_s - delay_s)
        earlier = earlier - earlier.mean(axis=0)
        gain = (earlier * self._later).sum(axis=0) / np.maximum((earlier**2).sum(axis=0), 1e-300)
        residual: FloatArray = self._later - gain * earlier
        return residual, gain


def irregular_motion(time_s: FloatArray, amplitude: float, seed: int = 0) -> FloatArray:
    """Return (N,) a smooth motion that never repeats itself and is at rest at 0 and at the end.

    Args:
        time_s: (N,) from 0.
        amplitude: largest excursion.
        seed: of the phases.
    """
    frequencies_hz = np.array([0.31, 0.53, 0.87, 1.39])
    phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(frequencies_hz))
    waves = np.sin(2 * np.pi * frequencies_hz * np.asarray(time_s)[:, None] + phases)
    edge = np.clip(np.minimum(time_s, time_s[-1] - time_s), 0.0, 1.0)
    window = edge**3 * (10 - 15 * edge + 6 * edge**2)
    motion: FloatArray = window * (waves / frequencies_hz).sum(axis=1)
    motion *= amplitude / np.abs(motion).max()
    return motion
