# SPDX-License-Identifier: Apache-2.0
"""The smooth motion that a chunk means, and the fade that leads into it.

A chunk's rows carry the model's noise. The reference is the motion of least jerk that stays near
them, a smoothing spline whose pieces of constant jerk lie between the rows. Where a new reference
takes over, the difference to what is committed is added to it and faded to nothing, again with
least jerk, so that position, velocity and acceleration are continuous at the seam.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from wam_ros.core.spline import Spline, State
from wam_ros.core.types import NS_PER_S, FloatArray

# Rows are believed up to this frequency: teleoperated arms move below 2 Hz, row noise is white.
CUTOFF_HZ = 3.0
FADE_PIECES = 8


def smooth(offsets_ns: tuple[int, ...], rows: FloatArray, cutoff_hz: float = CUTOFF_HZ) -> Spline:
    """Return the smooth motion near (K, J) rows; its first knot is the first row's time."""
    if len(rows) == 1:
        return Spline.rest(rows[0])
    origin = offsets_ns[0]
    elapsed = tuple(offset - origin for offset in offsets_ns)
    solution = _smoothing_matrix(elapsed, cutoff_hz) @ rows
    start = State(solution[0], solution[1], solution[2])
    return Spline.from_jerks(start, np.asarray(elapsed) / NS_PER_S, solution[3:])


@lru_cache(maxsize=64)
def _smoothing_matrix(elapsed_ns: tuple[int, ...], cutoff_hz: float) -> FloatArray:
    """(3 + K - 1, K) rows to initial state and jerks: least squares plus a penalty on jerk.

    The penalty makes the filter 1 / (1 + (f / cutoff)^6): flat in the pass band, without phase.
    """
    t = np.asarray(elapsed_ns) / NS_PER_S
    h = np.diff(t)
    start = np.stack((np.ones_like(t), t, t**2 / 2), axis=1)
    since = np.maximum(t[:, None] - t[None, :-1], 0.0)
    jerk = (since**3 - np.maximum(since - h, 0.0) ** 3) / 6
    penalty = np.sqrt(h / (np.mean(h) * (2 * np.pi * cutoff_hz) ** 6))
    fit = np.hstack((start, jerk))
    smoothness = np.hstack((np.zeros((len(h), 3)), np.diag(penalty)))
    # With fewer than three rows the curvature is not determined; this asks for the smallest one.
    straight = np.zeros((1, fit.shape[1]))
    straight[0, 2] = 1e-6
    stacked = np.vstack((fit, smoothness, straight))
    matrix: FloatArray = np.linalg.pinv(stacked)[:, : len(t)]
    matrix.setflags(write=False)
    return matrix


def play(reference: Spline, start_s: float, slower: float) -> Spline:
    """Return a reference from one of its times on, with all joints slowed by the same factor."""
    first = int(np.searchsorted(reference.knots_s, start_s, side="right"))
    knots = np.concatenate(([start_s], reference.knots_s[first:]))
    p, v, a = reference.sample(np.array([start_s]))
    start = State(p[0], v[0] / slower, a[0] / slower**2)
    return Spline.from_jerks(start, (knots - start_s) * slower, reference.jerks[first - 1 :] / slower**3)


def joined(state: State, reference: Spline, fade_s: float) -> Spline:
    """Return a motion from a state into a reference, the difference faded out over a time."""
    fade = _fade_jerks(
        state - State(reference.positions[0], reference.velocities[0], reference.accelerations[0]), fade_s
    )
    steps = np.linspace(0.0, fade_s, FADE_PIECES + 1)
    knots = np.unique(np.concatenate((reference.knots_s, steps[steps < reference.duration_s])))
    middle = (knots[:-1] + knots[1:]) / 2
    jerks = reference.jerks[np.searchsorted(reference.knots_s, middle) - 1]
    fading = np.minimum(np.searchsorted(steps, middle) - 1, FADE_PIECES)
    return Spline.from_jerks(state, knots, jerks + fade[fading])


def _fade_jerks(difference: State, fade_s: float) -> FloatArray:
    """(FADE_PIECES + 1, J) jerks that bring a difference to rest at zero; the last row is the zero after it."""
    unit = np.stack((difference.position, difference.velocity * fade_s, difference.acceleration * fade_s**2))
    return np.vstack((_FADE @ unit / fade_s**3, np.zeros_like(difference.position)))


def _fade_matrix(pieces: int) -> FloatArray:
    """(pieces, 3) state at 0 to the jerks of least square sum that end at zero at time 1."""
    left = 1 - np.arange(pieces) / pieces
    right = left - 1 / pieces
    end = np.stack(((left**3 - right**3) / 6, (left**2 - right**2) / 2, left - right))
    drift = np.array([[1.0, 1.0, 0.5], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    return np.asarray(-np.linalg.pinv(end) @ drift)


_FADE = _fade_matrix(FADE_PIECES)
