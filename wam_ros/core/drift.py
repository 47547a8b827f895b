# SPDX-License-Identifier: Apache-2.0
"""Has a camera moved on its mount, or an arm's base? Without a board, by what must agree.

Where two cameras see one surface, their depths must agree; and where a camera sees a hand, it must be where the arm's joints
have it. Points of one camera, or of a hand, are projected into another camera; what is left between the two surfaces, along
their normal, is linear in small motions of either. Sums of that over some seconds say by how much, in the directions that the
scene shows, each camera, or each arm with its hand and its cameras, would have to be displaced for all to agree; the one that
explains most is the suspect. Its noise is that of the sums from one moment to the next. A displacement that no surface in view
shows, such as one along a bare table, stays unseen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from wam_ros.core.hand import Hand
from wam_ros.core.overlap import SCALE, Gaze, Met, meet, surface
from wam_ros.core.transforms import adjoint, invert
from wam_ros.core.types import NS_PER_S, FloatArray

AHEAD = np.array([0.0, 0.0, 0.3, 1.0])
"""A point in front of a camera whose speed is its own; turns count by it."""
DAMPING_M = 0.0008
"""A direction in which one unit of ``SCALE`` moves the surfaces by less than this is not believed."""
HAND_WEIGHT = 10.0
"""Of a hand's points: they are few, but they tell a camera from the arm that carries it."""
RIVAL = 0.95
"""Who explains this share of what the likeliest does may be meant as well."""
Kind = Literal["camera", "arm"]
Body = tuple[Kind, str]
"""A camera or an arm, by name."""
_SAID = {
    "camera": "what it sees lies {shift}, as if it were {twist} elsewhere on its mount",
    "arm": "its hand and what its cameras see lie {shift}, as if its base were {twist} elsewhere",
}


@dataclass(frozen=True)
class Limits:
    """When a camera or an arm is said to have moved.

    Attributes:
        shift_m: least displacement of what it sees, root mean square; more than its depth is wrong by itself.
        sigmas: the same in units of its noise.
        window_s: over which is summed.
        moments: fewest moments in it.
        points: fewest points that a camera or arm would displace, in each moment that counts.
        together: fewest points that two must have in common to be compared at all.
        interval_s: between two moments.
        speed_m_s: a faster camera or hand is not compared: pictures and joints are not of quite the same time.
    """

    shift_m: float = 0.0015
    sigmas: float = 5.0
    window_s: float = 8.0
    moments: int = 6
    points: int = 60
    together: int = 20
    interval_s: float = 0.3
    speed_m_s: float = 0.15


@dataclass(frozen=True)
class Displacement:
    """How far off a camera, or the base of an arm, seems to be.

    Attributes:
        kind: camera or arm; ``name`` which.
        shift_m: by how much what it sees, or what is seen of it, is displaced along the surfaces' normals, root mean square.
        noise_m: standard deviation of that.
        moved_m, turned_rad: smallest displacement that explains it.
        points: of all moments that were compared.
        moments: how many there were.
        explains: in points times metres squared; ``rivals`` are those who explain nearly as much.
    """

    kind: Kind
    name: str
    shift_m: float
    noise_m: float
    moved_m: float
    turned_rad: float
    points: int
    moments: int
    explains: float
    rivals: tuple[Body, ...] = ()

    @property
    def body(self) -> Body:
        """The camera or arm."""
        return self.kind, self.name

    @property
    def key(self) -> str:
        """What it is called where cameras and arms stand side by side."""
        return self.name if self.kind == "camera" else f"arm_{self.name}"

    def __str__(self) -> str:
        shift = f"{self.shift_m * 1e3:.1f} mm off (noise {self.noise_m * 1e3:.1f} mm)"
        twist = f"{self.moved_m * 1e3:.0f} mm and {np.degrees(self.turned_rad):.1f} deg"
        rivals = "".join(f" (or {kind} {name})" for kind, name in self.rivals)
        return f"{self.kind} {self.name}{rivals}: {_SAID[self.kind].format(shift=shift, twist=twist)}"


class Moment:
    """Normal equations of the twists of all N cameras and arms' hands, from what was seen at one time.

    Attributes:
        stamp_ns: of the moment.
        deep: (C,) whether a camera had depth.
        H: (6N, 6N); g: (6N,), cameras first, then hands.
        pairs: (N, N) how many points of the first, seen or known, met the second.
        moves: (N, 6N, 6) how the twist of a camera, or of an arm's base, moves all of them.
    """

    def __init__(self, cameras: int, bodies: int, stamp_ns: int) -> None:
        self.stamp_ns, self.deep = stamp_ns, np.zeros(cameras, dtype=np.bool_)
        self.H, self.g = np.zeros((6 * bodies, 6 * bodies)), np.zeros(6 * bodies)
        self.pairs = np.zeros((bodies, bodies), dtype=np.int64)
        self.moves = np.eye(6 * bodies).reshape(6 * bodies, bodies, 6).transpose(1, 0, 2).copy()

    def add(self, one: int, other: int, met: Met, weight: float) -> None:
        """Add what is known or seen by ``one`` on surfaces that camera ``other`` sees; each point as so many."""
        columns = np.r_[6 * one : 6 * one + 6, 6 * other : 6 * other + 6]
        J = np.hstack([met.by_one, met.by_other])
        weights = weight * met.weights
        self.H[np.ix_(columns, columns)] += J.T @ (weights[:, None] * J)
        self.g[columns] += J.T @ (weights * met.apart_m)
        self.pairs[one, other] += round(weight * len(J))

    def carry(self, arm: int, camera: int, T_camera_arm: FloatArray) -> None:
        """Let an arm's twist take a camera with it."""
        self.moves[arm, 6 * camera : 6 * camera + 6] = adjoint(T_camera_arm) * SCALE / SCALE[:, None]

    def alone(self, index: int) -> tuple[FloatArray, FloatArray]:
        """Return the normal equations of one camera or arm, if it alone is displaced."""
        A = self.moves[index]
        return A.T @ self.H @ A, A.T @ self.g

    def points(self, index: int, fewest: int) -> int:
        """Return how many points it would displace, if it or its hand met so many at all."""
        if self.pairs[index].sum() + self.pairs[:, index].sum() < fewest:
            return 0
        moved = self.moves[index].reshape(len(self.pairs), 36).any(axis=1)
        return int(self.pairs[moved][:, ~moved].sum() + self.pairs[~moved][:, moved].sum())


class DriftMonitor:
    """Watches the cameras of one robot, and the arms whose hands they see.

    Args:
        cameras: those that should see depth, and the arm that carries each; empty for one that stands.
        limits: when one is said to have moved.

    Attributes:
        cameras: by name; ``carriers`` the arm of each.
        bodies: cameras and arms, in the order of all figures.
    """

    def __init__(self, cameras: Mapping[str, str], limits: Limits | None = None) -> None:
        self.cameras, self.limits = tuple(cameras), limits or Limits()
        arms = sorted({arm for arm in cameras.values() if arm})
        self.bodies: tuple[Body, ...] = (*(("camera", n) for n in self.cameras), *(("arm", n) for n in arms))
        self.carriers = dict(cameras)
        self._moments: deque[Moment] = deque()
        self._before: tuple[int, dict[Body, FloatArray]] = (0, {})

    def see(self, stamp_ns: int, gazes: Mapping[str, Gaze], hands: Mapping[str, Hand] | None = None) -> None:
        """Take what the cameras see at a time; best at their full rate, those too soon after the last moment do not count.

        Args:
            stamp_ns: the time.
            gazes: by camera, those with depth.
            hands: by arm, where its joints have it; none where their shape is not known well enough.
        """
        hands = hands or {}
        since_ns = stamp_ns - self._moments[-1].stamp_ns if self._moments else None
        if since_ns is not None and since_ns < 0:
            self._moments.clear()
        slow = self._slow(stamp_ns, gazes, hands)
        if since_ns is not None and 0 <= since_ns < self.limits.interval_s * NS_PER_S:
            return
        self._moments.append(self._compare(stamp_ns, slow, gazes, hands))
        while stamp_ns - self._moments[0].stamp_ns > self.limits.window_s * NS_PER_S:
            self._moments.popleft()

    def _slow(self, stamp_ns: int, gazes: Mapping[str, Gaze], hands: Mapping[str, Hand]) -> set[Body]:
        """Cameras whose view, and arms whose hand, has hardly moved since the last time."""
        places: dict[Body, FloatArray] = {("camera", name): gaze.T_base_camera @ AHEAD for name, gaze in gazes.items()}
        places |= {("arm", name): hand.T_base_arm @ hand.middle() for name, hand in hands.items()}
        (before_ns, before), self._before = self._before, (stamp_ns, places)
        far_m = self.limits.speed_m_s * abs(stamp_ns - before_ns) / NS_PER_S
        return {b for b, point in places.items() if b in before and np.linalg.norm(point - before[b]) <= far_m}

    def _compare(self, stamp_ns: int, slow: set[Body], gazes: Mapping[str, Gaze], hands: Mapping[str, Hand]) -> Moment:
        moment, indices = (
            Moment(len(self.cameras), len(self.bodies), stamp_ns),
            {b: i for i, b in enumerate(self.bodies)},
        )
        moment.deep[:] = [name in gazes for name in self.cameras]
        seen = {body: surface(gazes[body[1]]) for body in self.bodies if body in slow and body[0] == "camera"}
        for other in seen:
            gaze = gazes[other[1]]
            known = {body: hands[body[1]].seen_by(gaze) for body in self.bodies if body in slow and body[0] == "arm"}
            for one, points in {**seen, **known}.items():
                met = meet(points, gaze) if one != other else None
                if met is not None and len(met.apart_m) >= self.limits.together:
                    moment.add(indices[one], indices[other], met, HAND_WEIGHT if one in known else 1.0)
        for camera in seen:
            arm = self.carriers[camera[1]]
            if arm in hands:
                T_camera_arm = invert(gazes[camera[1]].T_base_camera) @ hands[arm].T_base_arm
                moment.carry(indices["arm", arm], indices[camera], T_camera_arm)
        return moment

    def judges(self, body: Body) -> bool:
        """Whether enough was seen lately to say anything of a camera or arm."""
        return len(self._compared(self.bodies.index(body))) >= self.limits.moments

    def blind(self) -> dict[str, str]:
        """Return camera to why nothing can be said of it; empty when all are watched."""
        return {name: why for i, name in enumerate(self.cameras) if (why := self._why_blind(i))}

    def _why_blind(self, index: int) -> str:
        if not any(moment.deep[index] for moment in self._moments):
            return "no depth comes"
        if not self.judges(self.bodies[index]):
            return "has not seen for long enough, at rest or slowly, a hand or what another camera sees too"
        return ""

    def _compared(self, index: int) -> list[tuple[Moment, int]]:
        """Moments that count for a camera or arm, and their points."""
        counted = [(moment, moment.points(index, self.limits.together)) for moment in self._moments]
        return [(moment, points) for moment, points in counted if points >= self.limits.points]

    def displacements(self) -> list[Displacement]:
        """Return how far off each camera and arm seems to be, if it alone is; the likeliest first."""
        found = [self._alone(i) for i in range(len(self.bodies))]
        return sorted((d for d in found if d is not None), key=lambda d: -d.explains)

    def suspect(self) -> Displacement | None:
        """Return the camera or arm that has moved, beyond noise and limits; None if none has, or if it is not known which."""
        found = self.displacements()
        if not found or found[0].moments < self.limits.moments:
            return None
        likeliest, *others = found
        least_m = max(self.limits.shift_m, self.limits.sigmas * likeliest.noise_m)
        rivals = tuple(d.body for d in others if d.explains > RIVAL * likeliest.explains)
        return replace(likeliest, rivals=rivals) if likeliest.shift_m > least_m else None

    def _alone(self, index: int) -> Displacement | None:
        """Twist of one camera or arm that explains most of the squared distances."""
        compared = self._compared(index)
        if not compared:
            return None
        points = sum(points for _, points in compared)
        sums = [moment.alone(index) for moment, _ in compared]
        H, g = np.sum([H for H, _ in sums], axis=0), np.sum([g for _, g in sums], axis=0)
        damped = np.linalg.inv(H + points * DAMPING_M**2 * np.eye(6))
        twist = -damped @ g
        scores = np.stack([g + H @ twist for H, g in sums])
        covariance = damped @ scores.T @ scores @ damped
        seen = H / points
        shift_m = float(np.sqrt(max(twist @ seen @ twist, 0.0)))
        noise_m = float(np.sqrt(max(np.trace(seen @ covariance), 0.0)))
        move = twist * SCALE
        moved_m, turned_rad = float(np.linalg.norm(move[:3])), float(np.linalg.norm(move[3:]))
        explains = float(g @ damped @ g)
        return Displacement(*self.bodies[index], shift_m, noise_m, moved_m, turned_rad, points, len(compared), explains)
