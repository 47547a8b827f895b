# SPDX-License-Identifier: Apache-2.0
"""Moves of single hands, one after the other, written down as legs; hands that are not named stay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from wam_ros.core.transforms import rigid
from wam_ros.core.types import FloatArray
from wam_ros.policies.toolpath import JointPath, Leg, ToolPaths, Tools

_UP = np.array([0.0, 0.0, 1.0])


class Stance(NamedTuple):
    """Where a hand shall be: (4, 4) pose of its tool in the robot's base frame, and its opening."""

    pose: FloatArray
    opening: float


def hand(point: FloatArray, heading_rad: float, lean_rad: float) -> FloatArray:
    """Return (4, 4) pose of a tool that points down, or leans towards a heading; its jaws move across the heading."""
    forward = np.array([np.cos(heading_rad), np.sin(heading_rad), 0.0])
    jaws = np.cross(_UP, forward)
    approach = np.sin(lean_rad) * forward - np.cos(lean_rad) * _UP
    return rigid(np.stack([approach, jaws, np.cross(approach, jaws)], axis=1), np.asarray(point))


class Choreography:
    """Legs in the making; knows where each hand is after the last of them.

    Args:
        paths: of the robot.
        start: (J,) joints at which the first leg begins.
    """

    def __init__(self, paths: ToolPaths, start: FloatArray) -> None:
        self._paths, self._start = paths, np.asarray(start, dtype=np.float64)
        arms = paths.kinematics.robot.arms
        self._poses = [paths.kinematics.tool_pose(self._start, arm) for arm in arms]
        self._openings = self._start[paths.grippers].copy()
        self._legs: list[Leg] = []

    def __len__(self) -> int:
        """Number of legs so far."""
        return len(self._legs)

    def path(self) -> tuple[JointPath, list[float]]:
        """Return the path, and the time at which each leg ends [s].

        Raises:
            BackendError: a hand cannot get where it should.
        """
        return self._paths.join(self._start, self._legs)

    def heading(self, arm: int) -> float:
        """Return the heading of a hand [rad]."""
        jaws = self._poses[arm][:3, 1]
        return float(np.arctan2(-jaws[0], jaws[1]))

    def go(self, duration_s: float, stances: Mapping[int, Stance]) -> None:
        """Bring hands straight to where they shall be, their openings changing on the way."""
        ways = {arm: _straight(self._poses[arm], stance.pose) for arm, stance in stances.items()}
        self._add(duration_s, ways, {arm: stance.opening for arm, stance in stances.items()})

    def along(self, duration_s: float, arm: int, way: Callable[[float], FloatArray]) -> None:
        """Lead one hand along a way: share 0..1 to its pose."""
        self._add(duration_s, {arm: way}, {})

    def grip(self, duration_s: float, arm: int, opening: float) -> None:
        """Open or close a hand where it is."""
        self._add(duration_s, {}, {arm: opening})

    def rise(self, duration_s: float, arm: int, height_m: float) -> None:
        """Lift a hand."""
        pose = np.array(self._poses[arm])
        pose[2, 3] += height_m
        self.go(duration_s, {arm: Stance(pose, float(self._openings[arm]))})

    def rise_to(self, duration_s: float, arm: int, z_m: float, opening: float) -> None:
        """Open a hand and lift it, if it is below a height."""
        missing_m = z_m - self._poses[arm][2, 3]
        if missing_m > 0:
            self.grip(duration_s, arm, opening)
            self.rise(duration_s, arm, missing_m)

    def _add(
        self, duration_s: float, ways: Mapping[int, Callable[[float], FloatArray]], openings: Mapping[int, float]
    ) -> None:
        for arm, opening in openings.items():
            self._openings[arm] = opening
        arms = range(len(self._poses))

        def tools(share: float) -> Tools:
            return [ways[arm](share) if arm in ways else None for arm in arms]

        self._legs.append(Leg(duration_s, self._openings.copy(), tools=tools if ways else None))
        for arm, way in ways.items():
            self._poses[arm] = way(1.0)


def _straight(start: FloatArray, end: FloatArray) -> Callable[[float], FloatArray]:
    turn = Slerp([0, 1], Rotation.from_matrix([start[:3, :3], end[:3, :3]]))

    def at(share: float) -> FloatArray:
        point = start[:3, 3] + share * (end[:3, 3] - start[:3, 3])
        return rigid(turn(share).as_matrix(), point)

    return at
