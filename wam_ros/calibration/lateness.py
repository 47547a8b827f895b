# SPDX-License-Identifier: Apache-2.0
"""How late arms, grippers and cameras are, from what was commanded, measured and seen while they moved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from wam_ros.core.board import Board, Optics
from wam_ros.core.clock_code import since_ms
from wam_ros.core.errors import CalibrationError
from wam_ros.core.latency import LEAST_SAMPLES, Delay, Signal, find_delay
from wam_ros.core.place import Lateness
from wam_ros.core.robot import Robot
from wam_ros.core.transforms import invert
from wam_ros.core.types import ByteImage, FloatArray
from wam_ros.files.calibrated import arm_key, gripper_key
from wam_ros.kinematics.viewpoints import Viewpoints
from wam_ros.vision.boards import BoardFinder
from wam_ros.vision.clock import ClockReader

MOTION, SCREEN = "motion", "screen"
LEAST_MOTION_RAD, LEAST_OPENING = 0.05, 0.3
EARLIEST_S = -0.1
"""Stamps may be too early: a driver that stamps when the exposure ends, and is late by less than that."""
LARGEST_S = 2.0
"""Of a camera; beyond it two clocks differ."""
WIDTH_95 = 1.96


@dataclass(frozen=True)
class Motion:
    """What the joints were told, and what they did.

    Attributes:
        time_s: (N,) rising, of the measurements; ``commanded_s`` of the commands.
        measured, commanded: (N, J) in robot order, grippers 0 closed to 1 open.
    """

    time_s: FloatArray
    measured: FloatArray
    commanded_s: FloatArray
    commanded: FloatArray


@dataclass
class Findings:
    """What was found, and why the rest was not.

    Attributes:
        found: device to how late it is.
        lost: device to why that is not known.
    """

    found: dict[str, Lateness] = field(default_factory=dict)
    lost: dict[str, str] = field(default_factory=dict)

    def try_for(
        self, device: str, delay: Delay | CalibrationError, method: str, date: str, known_s: float = 0.0
    ) -> None:
        """Keep what one device came to; ``known_s`` is what its stamps had been corrected by already."""
        if isinstance(delay, CalibrationError):
            self.lost[device] = str(delay)
        else:
            self.found[device] = Lateness(
                known_s + delay.delay_s, delay.interval_s, method, date, round(delay.correlation, 6)
            )


def measure_joints(robot: Robot, motion: Motion, date: str, findings: Findings) -> None:
    """Find how late each arm and gripper follows its commands."""
    for arm in robot.arms:
        joints = [robot.joint_names.index(name) for name in arm.joints]
        gripper = [robot.joint_names.index(arm.gripper.joint)]
        for device, columns, least in (
            (arm_key(arm.name), joints, LEAST_MOTION_RAD),
            (gripper_key(arm.name), gripper, LEAST_OPENING),
        ):
            findings.try_for(device, _delay(motion, columns, least), MOTION, date)


def _delay(motion: Motion, columns: list[int], least: float) -> Delay | CalibrationError:
    moved = [c for c in columns if np.ptp(motion.commanded[:, c]) >= least]
    try:
        if not moved:
            raise CalibrationError(f"latency: no joint was moved by {least:g} or more; move it while recording")
        earlier = Signal(motion.commanded_s, motion.commanded[:, moved])
        return find_delay(earlier, Signal(motion.time_s, motion.measured[:, moved]))
    except CalibrationError as error:
        return error


class CameraClock:
    """Finds how late one camera is, picture by picture, by the clock on a screen or by the board that it sees moving.

    Args:
        robot: that carries it.
        camera: its name.
        optics: how it sees; None: only the screen can be read.
        board: that lies still before it.
        views: the robot's kinematics.
    """

    def __init__(self, robot: Robot, camera: str, optics: Optics | None, board: Board, views: Viewpoints) -> None:
        self._robot, self._camera, self._optics, self._views = robot, camera, optics, views
        self._finder, self._reader = BoardFinder(board), ClockReader()
        self._middle = np.array([*board.size_m, 0.0]) / 2
        self._moves = bool(views.carriers()[camera]) and optics is not None
        self._shown: list[tuple[float, int]] = []
        self._seen: list[tuple[float, FloatArray]] = []

    def see(self, time_s: float, image: ByteImage) -> None:
        """Look at a picture and its stamp."""
        shown = self._reader.read(image)
        if shown is not None:
            self._shown.append((time_s, shown))
        elif self._moves and self._optics is not None:
            try:
                sighting = self._finder.sighting(image, self._optics, self._camera, "board", 0)
            except CalibrationError:
                return
            T = sighting.T_cam_board
            self._seen.append((time_s, T[:3, :3] @ self._middle + T[:3, 3]))

    def delay(self, motion: Motion) -> tuple[Delay | CalibrationError, str]:
        """Return how late the stamps are, and by which method that was found."""
        try:
            if len(self._shown) >= LEAST_SAMPLES:
                return by_screen(self._shown), SCREEN
            return self._by_motion(motion), MOTION
        except CalibrationError as error:
            return error, MOTION

    def _by_motion(self, motion: Motion) -> Delay:
        if not self._moves or self._optics is None:
            why = "no camera_info" if self._optics is None else "no arm carries it"
            raise CalibrationError(
                f"latency: it cannot be found by motion ({why}); film the clock of wam calibrate clock with it"
            )
        if len(self._seen) < LEAST_SAMPLES:
            raise CalibrationError(
                f"latency: the board was seen in {len(self._seen)} pictures, {LEAST_SAMPLES} wanted; move the camera before "
                f"it, slowly enough for sharp pictures"
            )
        times = np.array([time for time, _ in self._seen])
        points = np.array([point for _, point in self._seen])
        poses = np.array([self._views.camera_pose(position, self._camera) for position in motion.measured])
        # Which of the poses each picture belongs to is what is asked; for the board's place the nearest will do.
        nearest = np.clip(np.searchsorted(motion.time_s, times), 0, len(poses) - 1)
        place = np.median(np.einsum("nij,nj->ni", poses[nearest][:, :3], _homogeneous(points)), axis=0)
        expected = np.einsum("nij,j->ni", np.array([invert(T) for T in poses])[:, :3], np.append(place, 1.0))
        lens = self._optics.pinhole
        return find_delay(
            Signal(motion.time_s, lens.project(expected)), Signal(times, lens.project(points)), shortest_s=EARLIEST_S
        )


def by_screen(shown: Iterable[tuple[float, int]], refresh_hz: float = 60.0) -> Delay:
    """Return how long after a screen showed a time its picture is stamped.

    What a screen shows is between no and one refresh old, so that the delay lies between the longest time since a shown one,
    less a refresh, and the shortest. Where camera and screen beat together, the two are apart, and so wide is the interval.
    The screen's own delay, from drawing to light, is part of the result.

    Args:
        shown: stamp [s] and time read [ms, modulo the code's period] of each picture.
        refresh_hz: of the screen.

    Raises:
        CalibrationError: too few pictures, or the two clocks are not one.
    """
    late = np.array([since_ms(1e3 * stamp_s, time_ms) for stamp_s, time_ms in shown]) / 1e3
    if len(late) < LEAST_SAMPLES:
        raise CalibrationError(
            f"latency: the clock was read in {len(late)} pictures, {LEAST_SAMPLES} wanted; film longer"
        )
    middle = float(np.median(late))
    if abs(middle) > LARGEST_S:
        raise CalibrationError(
            f"latency: the pictures are stamped {middle:+.1f} s from the time on the screen; open the page on the computer "
            f"that stamps them, or synchronise their clocks (chrony)"
        )
    kept = late[np.abs(late - middle) <= max(6.0 * float(np.median(np.abs(late - middle))), 1.0 / refresh_hz)]
    shortest, longest = np.percentile(kept, [1, 99])
    least, most = float(longest) - 1.0 / refresh_hz, float(shortest)
    return Delay((least + most) / 2, abs(most - least) / 2 + WIDTH_95 * float(kept.std()) / np.sqrt(len(kept)), 1.0)


def measure_cameras(
    clocks: Mapping[str, CameraClock], motion: Motion, known_s: Mapping[str, float], date: str, findings: Findings
) -> None:
    """Find how late each camera is; ``known_s`` is what its stamps were corrected by."""
    for camera, clock in clocks.items():
        delay, method = clock.delay(motion)
        findings.try_for(camera, delay, method, date, known_s.get(camera, 0.0))


def _homogeneous(points: FloatArray) -> FloatArray:
    stacked: FloatArray = np.c_[points, np.ones(len(points))]
    return stacked
