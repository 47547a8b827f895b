# SPDX-License-Identifier: Apache-2.0
"""Has a camera moved on its mount? Without a board: where two cameras see one surface, their depths must agree.

Points of one camera are projected into another; what is left between the two surfaces, along their normal, is linear in small
motions of either camera. Sums of that over some seconds say by how much, in the directions that the scene shows, each camera
would have to be displaced for all to agree; the camera that explains most is the suspect. Its noise is that of the sums from
one moment to the next. A displacement that no surface in view shows, such as one along a bare table, stays unseen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from wam_ros.core.overlap import SCALE, Gaze, Met, meet
from wam_ros.core.types import NS_PER_S, FloatArray

AHEAD = np.array([0.0, 0.0, 0.3, 1.0])
"""A point in front of a camera whose speed is its own; turns count by it."""
DAMPING_M = 0.0008
"""A direction in which one unit of ``SCALE`` moves the surfaces by less than this is not believed."""


@dataclass(frozen=True)
class Limits:
    """When a camera is said to have moved.

    Attributes:
        shift_m: least displacement of what it sees, root mean square; more than its depth is wrong by itself.
        sigmas: the same in units of its noise.
        window_s: over which is summed.
        moments: fewest moments in it.
        points: fewest points of a camera that another sees too, in each moment that counts.
        interval_s: between two moments.
        speed_m_s: a faster camera is not compared: pictures and joints are not of quite the same time.
    """

    shift_m: float = 0.0015
    sigmas: float = 5.0
    window_s: float = 8.0
    moments: int = 6
    points: int = 60
    interval_s: float = 0.3
    speed_m_s: float = 0.15


@dataclass(frozen=True)
class Displacement:
    """How far off a camera seems to be.

    Attributes:
        camera: which.
        shift_m: by how much what it sees is displaced along the surfaces' normals, root mean square.
        noise_m: standard deviation of that.
        moved_m, turned_rad: smallest displacement of the camera that explains it.
        points: of all moments that were compared.
        moments: how many there were.
    """

    camera: str
    shift_m: float
    noise_m: float
    moved_m: float
    turned_rad: float
    points: int
    moments: int

    def __str__(self) -> str:
        return (
            f"camera {self.camera}: what it sees lies {self.shift_m * 1e3:.1f} mm off (noise {self.noise_m * 1e3:.1f} mm), as if "
            f"it were {self.moved_m * 1e3:.0f} mm and {np.degrees(self.turned_rad):.1f} deg elsewhere on its mount"
        )


class Sums:
    """Normal equations of all cameras' twists from one moment.

    Attributes:
        stamp_ns: of the moment.
        deep: (C,) whether a camera had depth.
        H: (6C, 6C); g: (6C,).
        points: (C,) how many of each camera met another's.
    """

    def __init__(self, cameras: int, stamp_ns: int) -> None:
        self.stamp_ns, self.deep = stamp_ns, np.zeros(cameras, dtype=np.bool_)
        self.H, self.g = np.zeros((6 * cameras, 6 * cameras)), np.zeros(6 * cameras)
        self.points = np.zeros(cameras, dtype=np.int64)

    def add(self, one: int, other: int, met: Met) -> None:
        """Add what camera ``one`` saw on surfaces of camera ``other``."""
        columns = np.r_[6 * one : 6 * one + 6, 6 * other : 6 * other + 6]
        J = np.hstack([met.by_one, met.by_other])
        self.H[np.ix_(columns, columns)] += J.T @ (met.weights[:, None] * J)
        self.g[columns] += J.T @ (met.weights * met.apart_m)
        self.points[[one, other]] += len(J)


class DriftMonitor:
    """Watches the cameras of one robot.

    Args:
        cameras: names of all that should see depth.
        limits: when one is said to have moved.
    """

    def __init__(self, cameras: Sequence[str], limits: Limits | None = None) -> None:
        self.cameras, self.limits = tuple(cameras), limits or Limits()
        self._moments: deque[Sums] = deque()
        self._before: tuple[int, dict[str, FloatArray]] = (0, {})

    def see(self, stamp_ns: int, gazes: Mapping[str, Gaze]) -> None:
        """Take what the cameras see at a time; best at their full rate, those too soon after the last moment do not count."""
        since_ns = stamp_ns - self._moments[-1].stamp_ns if self._moments else None
        if since_ns is not None and since_ns < 0:
            self._moments.clear()
        slow = self._slow(stamp_ns, gazes)
        if since_ns is not None and 0 <= since_ns < self.limits.interval_s * NS_PER_S:
            return
        sums = Sums(len(self.cameras), stamp_ns)
        sums.deep[:] = [name in gazes for name in self.cameras]
        for one, other in permutations([i for i, name in enumerate(self.cameras) if name in slow], 2):
            met = meet(gazes[self.cameras[one]], gazes[self.cameras[other]])
            if met is not None:
                sums.add(one, other, met)
        self._moments.append(sums)
        while stamp_ns - self._moments[0].stamp_ns > self.limits.window_s * NS_PER_S:
            self._moments.popleft()

    def _slow(self, stamp_ns: int, gazes: Mapping[str, Gaze]) -> set[str]:
        """Cameras whose view has hardly moved since the last time, seen from a usual distance ahead."""
        ahead = {name: gaze.T_base_camera @ AHEAD for name, gaze in gazes.items()}
        (before_ns, before), self._before = self._before, (stamp_ns, ahead)
        far_m = self.limits.speed_m_s * abs(stamp_ns - before_ns) / NS_PER_S
        return {n for n, point in ahead.items() if n in before and np.linalg.norm(point - before[n]) <= far_m}

    def blind(self) -> dict[str, str]:
        """Return camera to why nothing can be said of it; empty when all are watched."""
        return {name: why for i, name in enumerate(self.cameras) if (why := self._why_blind(i))}

    def _why_blind(self, index: int) -> str:
        if not any(moment.deep[index] for moment in self._moments):
            return "no depth comes"
        if len(self._compared(index)) < self.limits.moments:
            return "has not seen for long enough, at rest or slowly, what another camera sees too"
        return ""

    def _compared(self, index: int) -> list[Sums]:
        return [moment for moment in self._moments if moment.points[index] >= self.limits.points]

    def displacements(self) -> list[Displacement]:
        """Return how far off each camera seems to be, if it alone is; the likeliest first."""
        found = [self._alone(i) for i in range(len(self.cameras))]
        return [d for _, d in sorted((f for f in found if f), key=lambda f: -f[0])]

    def suspect(self) -> Displacement | None:
        """Return the camera that has moved, beyond noise and limits; None if none has, or if it is not known which."""
        likeliest = next(iter(self.displacements()), None)
        if likeliest is None or likeliest.moments < self.limits.moments:
            return None
        least_m = max(self.limits.shift_m, self.limits.sigmas * likeliest.noise_m)
        return likeliest if likeliest.shift_m > least_m else None

    def _alone(self, index: int) -> tuple[float, Displacement] | None:
        """Twist of one camera that explains most, and how much of the squared distances it explains."""
        own, moments = slice(6 * index, 6 * index + 6), self._compared(index)
        if not moments:
            return None
        points = int(sum(m.points[index] for m in moments))
        H = np.sum([m.H[own, own] for m in moments], axis=0)
        g = np.sum([m.g[own] for m in moments], axis=0)
        damped = np.linalg.inv(H + points * DAMPING_M**2 * np.eye(6))
        twist = -damped @ g
        scores = np.stack([m.g[own] + m.H[own, own] @ twist for m in moments])
        covariance = damped @ scores.T @ scores @ damped
        seen = H / points
        gain = float(g @ damped @ g)
        shift_m = float(np.sqrt(max(twist @ seen @ twist, 0.0)))
        noise_m = float(np.sqrt(max(np.trace(seen @ covariance), 0.0)))
        move = twist * SCALE
        moved_m, turned_rad = float(np.linalg.norm(move[:3])), float(np.linalg.norm(move[3:]))
        return gain, Displacement(self.cameras[index], shift_m, noise_m, moved_m, turned_rad, points, len(moments))
