# SPDX-License-Identifier: Apache-2.0
"""The smooth motion that a chunk means, and the fade that leads into it.

A chunk's rows carry the model's noise, and say nothing about how to end. The reference is the
motion of least jerk that stays near them: a smoothing spline whose pieces of constant jerk lie
between the rows. It walks the last stretch of its path ever more slowly and rests at the last row,
so that a chunk that is not replaced in time is never left behind or left at speed.

Where a new reference takes over, its difference to what is committed is added to it and faded to
nothing, again with least jerk: position, velocity and acceleration are continuous at the seam.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from wam_ros.core.spline import Spline, State
from wam_ros.core.types import NS_PER_S, FloatArray

# Rows are believed up to this frequency: teleoperated arms move below 2 Hz, row noise is white.
CUTOFF_HZ = 3.0
# The last part of the path takes twice its time: the speed falls evenly to zero.
ENDING_ROWS = 5
# Rows at rest after it, in which the rest becomes smooth.
RESTING_ROWS = 3
FADE_PIECES = 8


def smooth(offsets_ns: tuple[int, ...], rows: FloatArray, cutoff_hz: float = CUTOFF_HZ) -> Spline:
    """Return the smooth motion near (K, J) rows, from the first row's time to rest at the last row."""
    if len(rows) == 1:
        return Spline.rest(rows[0])
    elapsed = tuple(offset - offsets_ns[0] for offset in offsets_ns)
    knots, matrix = _smoothing(elapsed, cutoff_hz)
    solution = matrix @ rows
    return Spline.from_jerks(State(solution[0], solution[1], solution[2]), knots, solution[3:])


@lru_cache(maxsize=64)
def _smoothing(elapsed_ns: tuple[int, ...], cutoff_hz: float) -> tuple[FloatArray, FloatArray]:
    """Knots, and the matrix from rows to initial state and jerks.

    Least squares of the positions plus a penalty on the jerk, whose filter is 1 / (1 + (f / cutoff)^6)
    (flat in the pass band, without phase), and an end at rest.
    """
    t, rows = _ending(np.asarray(elapsed_ns) / NS_PER_S)
    h = np.diff(t)
    fit = _positions(t)
    penalty = np.sqrt(h / (np.mean(h) * (2 * np.pi * cutoff_hz) ** 6))
    smoothness = np.hstack((np.zeros((len(h), 3)), np.diag(penalty)))
    at_rest = np.zeros((2, fit.shape[1]))
    at_rest[0, 1:3] = 1.0, t[-1]
    at_rest[0, 3:] = h * (t[-1] - t[1:] + h / 2)
    at_rest[1, 2], at_rest[1, 3:] = 1.0, h
    free = np.linalg.qr(at_rest.T, mode="complete")[0][:, 2:]
    q, r = np.linalg.qr(np.vstack((fit, smoothness)) @ free)
    matrix = free @ np.linalg.solve(r, q[: len(t)].T @ rows)
    for array in (t, matrix):
        array.setflags(write=False)
    return t, matrix


def _positions(t: FloatArray) -> FloatArray:
    """(N, 3 + N - 1) initial state and jerks to the positions at N knots."""
    since = np.maximum(t[:, None] - t[None, :-1], 0.0)
    jerk = (since**3 - np.maximum(since - np.diff(t), 0.0) ** 3) / 6
    return np.hstack((np.stack((np.ones_like(t), t, t**2 / 2), axis=1), jerk))


def _ending(t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(N,) times that slow down to rest at the end, and the (N, K) interpolation of the rows at them."""
    slowing = min(ENDING_ROWS, len(t) // 2)
    step = (t[-1] - t[-1 - slowing]) / slowing
    x = np.arange(1, 2 * slowing + 1)
    walked = np.concatenate((x - x**2 / (4 * slowing), np.full(RESTING_ROWS, float(slowing))))
    begin = t[-1 - slowing]
    path = np.concatenate((t[: len(t) - slowing], begin + step * walked))
    times = np.concatenate((t[: len(t) - slowing], begin + step * np.arange(1, len(walked) + 1)))
    rows = np.stack([np.interp(path, t, unit) for unit in np.eye(len(t))], axis=1)
    return times, rows


def play(reference: Spline, start_s: float, slower: float) -> Spline:
    """Return a reference from one of its times on, with all joints slowed by the same factor.

    A little before its first knot (no more than a row or two) it is extended backwards.
    """
    part = reference.after(start_s) if start_s >= 0 else _led(reference, -start_s)
    return part.slowed(slower)


def _led(reference: Spline, lead_s: float) -> Spline:
    """Return the reference with a first piece of constant acceleration."""
    p, v, a = reference.positions[0], reference.velocities[0], reference.accelerations[0]
    start = State(p - v * lead_s + a * lead_s**2 / 2, v - a * lead_s, a)
    knots = np.concatenate((np.zeros(1), reference.knots_s + lead_s))
    return Spline.from_jerks(start, knots, np.concatenate((np.zeros((1, len(p))), reference.jerks)))


def joined(state: State, reference: Spline, fade_s: float) -> Spline:
    """Return the motion from a state into a reference, the difference faded out over a time."""
    steps = np.linspace(0.0, fade_s, FADE_PIECES + 1)
    knots = np.unique(np.concatenate((reference.knots_s, steps)))
    middle = (knots[:-1] + knots[1:]) / 2
    still = np.zeros((1, len(state.position)))
    following = np.concatenate((reference.jerks, still))[np.searchsorted(reference.knots_s, middle) - 1]
    fading = np.concatenate((_fade_jerks(state - reference.start, fade_s), still))
    fading = fading[np.minimum(np.searchsorted(steps, middle) - 1, FADE_PIECES)]
    return Spline.from_jerks(state, knots, following + fading)


def _fade_jerks(difference: State, fade_s: float) -> FloatArray:
    """(FADE_PIECES, J) jerks that bring a difference to rest at zero."""
    unit = np.stack((difference.position, difference.velocity * fade_s, difference.acceleration * fade_s**2))
    return np.asarray(_FADE @ unit / fade_s**3)


def _fade_matrix(pieces: int) -> FloatArray:
    """(pieces, 3) state at 0 to the jerks of least square sum that end at zero at time 1."""
    left = 1 - np.arange(pieces) / pieces
    right = left - 1 / pieces
    end = np.stack(((left**3 - right**3) / 6, (left**2 - right**2) / 2, left - right))
    drift = np.array([[1.0, 1.0, 0.5], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    return np.asarray(-np.linalg.pinv(end) @ drift)


_FADE = _fade_matrix(FADE_PIECES)
