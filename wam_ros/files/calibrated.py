# SPDX-License-Identifier: Apache-2.0
"""A robot with its calibration file in force: frames where they were found, devices as late as they were measured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from wam_ros.core.errors import CalibrationError, mismatch
from wam_ros.core.place import Place
from wam_ros.core.robot import Arm, Robot
from wam_ros.files.calibration import CalibrationFile, Placed, load


def calibrated(robot: Robot, path: Path) -> Robot:
    """Return the robot as its calibration file says it is.

    Raises:
        ConfigError: not a calibration file.
        CalibrationError: of another robot, of other cameras, or changed after it was verified.
    """
    content = load(path)
    if content.robot != robot.name:
        raise CalibrationError(mismatch(f"{path}: robot", robot.name, content.robot, "give the file of this robot"))
    _require_devices(robot, content, path)
    placed = [*(camera.placed for camera in content.cameras.values()), *content.bases.values()]
    latencies = {name: late.latency_s for name, late in content.latencies.items()}
    return replace(
        robot,
        calibration=str(path.resolve()),
        frames={**robot.frames, **{p.child: _place(p) for p in placed}},
        cameras=tuple(replace(c, latency_s=latencies.get(c.name, c.latency_s)) for c in robot.cameras),
        arms=tuple(_timed(arm, latencies) for arm in robot.arms),
    )


def latency_sources(robot: Robot) -> list[str]:
    """Return a line for each camera, arm and gripper: how late it is taken to be, and who says so."""
    measured = load(Path(robot.calibration)).latencies if robot.calibration else {}
    devices = {camera.name: camera.latency_s for camera in robot.cameras}
    devices |= {arm_key(arm.name): arm.latency_s for arm in robot.arms}
    devices |= {gripper_key(arm.name): arm.gripper.latency_s for arm in robot.arms}
    lines = []
    for name, latency_s in devices.items():
        source = "the robot file" if latency_s else "nobody has measured it"
        if name in measured:
            late = measured[name]
            source = f"+- {1e3 * late.interval_s:.1f} ms, {late.method}, {late.date}, {robot.calibration}"
        lines.append(f"latency of {name}: {1e3 * latency_s:.1f} ms ({source})")
    return lines


def arm_key(arm: str) -> str:
    """Return what an arm is called among the latencies."""
    return f"arm {arm}"


def gripper_key(arm: str) -> str:
    """Return what an arm's gripper is called among the latencies."""
    return f"gripper {arm}"


def _timed(arm: Arm, latencies: dict[str, float]) -> Arm:
    gripper = replace(arm.gripper, latency_s=latencies.get(gripper_key(arm.name), arm.gripper.latency_s))
    return replace(arm, gripper=gripper, latency_s=latencies.get(arm_key(arm.name), arm.latency_s))


def _place(placed: Placed) -> Place:
    return Place(placed.parent, placed.xyz_m, placed.quaternion_xyzw)


def _require_devices(robot: Robot, content: CalibrationFile, path: Path) -> None:
    """Refuse a file of cameras that are not the robot's."""
    known = {camera.name: camera for camera in robot.cameras}
    for name, found in content.cameras.items():
        if name not in known:
            raise CalibrationError(mismatch(f"{path}: cameras", sorted(known), name, "give the file of this robot"))
        serial = known[name].serial
        if serial and found.serial != serial:
            remedy = "calibrate the camera that is plugged in, or correct serial in the robot file"
            raise CalibrationError(mismatch(f"{path}: camera {name}: serial", serial, found.serial or "none", remedy))
