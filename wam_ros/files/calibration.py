# SPDX-License-Identifier: Apache-2.0
"""Calibration files: written only when verified, read only when unchanged and of the cameras that are plugged in."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from wam_ros.core.board import Board, Optics
from wam_ros.core.errors import CalibrationError, ConfigError, mismatch
from wam_ros.core.handeye.session import Result
from wam_ros.core.handeye.solve import Region
from wam_ros.core.place import Lateness
from wam_ros.core.robot import Robot
from wam_ros.core.transforms import rigid
from wam_ros.core.types import FloatArray
from wam_ros.files.load import load_yaml, to_data


@dataclass(frozen=True)
class Placed:
    """A frame in another, with its error.

    Attributes:
        parent, child: URDF frames; for cameras the optical frame (z forward, x right, y down).
        xyz_m: (3,) position of the child's origin in the parent; ``quaternion_xyzw`` its orientation.
        error_95_mm, error_95_deg: longest half axes of the 95 % regions of position and of rotation.
        covariance: (36,) of the right twist, row by row, translation [m] first, then rotation [rad].
    """

    parent: str
    child: str
    xyz_m: tuple[float, float, float]
    quaternion_xyzw: tuple[float, float, float, float]
    error_95_mm: float
    error_95_deg: float
    covariance: tuple[float, ...]

    def matrix(self) -> FloatArray:
        """(4, 4) T_parent_child."""
        return rigid(Rotation.from_quat(self.quaternion_xyzw).as_matrix(), np.array(self.xyz_m))


@dataclass(frozen=True)
class CalibratedCamera:
    """One camera: which device, how it sees, where it sits."""

    serial: str
    optics: Optics
    placed: Placed


@dataclass(frozen=True)
class Residuals:
    """How well the calibration fits, and how well poses it had not seen.

    Attributes:
        corners_px: root mean square of all corners.
        pixel_px, robot_mm, robot_deg: the noise found in corners and arm.
        sightings, rejected: pictures of the board, and how many of them were left out.
        held_out: sightings not used; ``held_out_mm``, ``held_out_deg`` their root mean square errors, and
            ``expected_mm``, ``expected_deg`` what the calibration itself predicts.
    """

    corners_px: float
    pixel_px: float
    robot_mm: float
    robot_deg: float
    sightings: int
    rejected: int
    held_out: int
    held_out_mm: float
    held_out_deg: float
    expected_mm: float
    expected_deg: float


@dataclass(frozen=True)
class CalibrationFile:
    """What one calibration found.

    Attributes:
        robot: name of its YAML; ``date`` in ISO 8601, local time with offset.
        cameras: by name; ``bases`` the further arms' bases in the first one's.
        residuals: of the hand-eye calibration; None where only latencies were measured.
        latencies: of each camera, arm (``arm left``) and gripper (``gripper left``) that was measured.
        hash: of everything else; a file edited by hand is refused.
    """

    robot: str
    date: str
    board: Board = field(default_factory=Board)
    cameras: dict[str, CalibratedCamera] = field(default_factory=dict)
    bases: dict[str, Placed] = field(default_factory=dict)
    residuals: Residuals | None = None
    latencies: dict[str, Lateness] = field(default_factory=dict)
    hash: str = ""

    def frames(self) -> dict[tuple[str, str], FloatArray]:
        """Return (parent, child) of each camera and base to ``T_parent_child`` (4, 4)."""
        placed = [*(camera.placed for camera in self.cameras.values()), *self.bases.values()]
        return {(p.parent, p.child): p.matrix() for p in placed}


def make_file(
    robot: Robot, board: Board, result: Result, optics: Mapping[str, Optics], serials: Mapping[str, str], date: datetime
) -> CalibrationFile:
    """Return the file's content of a verified result.

    Raises:
        CalibrationError: the result is not verified.
    """
    if not result.verification.passed:
        raise CalibrationError("calibration: held-out poses contradict it, so that no file is written; capture again")
    solution = result.calibration.solution
    first = robot.arms[0].base_frame
    tools, bases = {a.name: a.tool_frame for a in robot.arms}, {a.name: a.base_frame for a in robot.arms}
    mounts = result.mounts
    cameras = {
        name: CalibratedCamera(
            serials[name],
            optics[name],
            _placed(tools.get(mounts[name], first), robot.camera(name).frame, result, "camera", name),
        )
        for name in optics
        if ("camera", name) in solution.transforms
    }
    found = {
        arm: _placed(first, bases[arm], result, "base", arm)
        for kind, arm in sorted(solution.transforms)
        if kind == "base"
    }
    content = CalibrationFile(robot.name, date.isoformat(timespec="seconds"), board, cameras, found, _residuals(result))
    return dataclasses.replace(content, hash=_hash(content))


def with_latencies(content: CalibrationFile, found: Mapping[str, Lateness]) -> CalibrationFile:
    """Return a file with latencies measured anew; others stay."""
    content = dataclasses.replace(content, latencies={**content.latencies, **found})
    return dataclasses.replace(content, hash=_hash(content))


def save(content: CalibrationFile, path: Path) -> None:
    """Write a calibration file.

    Raises:
        ConfigError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(to_data(content), sort_keys=False, default_flow_style=None), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def load(path: Path, serials: Mapping[str, str] | None = None) -> CalibrationFile:
    """Read a calibration file.

    Args:
        path: of the file.
        serials: camera to the serial number of the device that is plugged in; those named must be in the file.

    Raises:
        ConfigError: not a calibration file.
        CalibrationError: it was changed after it was verified, or is of another camera.
    """
    content = load_yaml(path, CalibrationFile)
    if content.hash != _hash(content):
        raise CalibrationError(f"{path}: was changed after it was verified; calibrate again, or restore the file")
    for name, serial in (serials or {}).items():
        if name not in content.cameras:
            raise CalibrationError(
                mismatch(f"{path}: cameras", f"{name} among them", ", ".join(content.cameras), "calibrate this camera")
            )
        if content.cameras[name].serial != serial:
            raise CalibrationError(
                mismatch(
                    f"{path}: camera {name}: serial",
                    serial,
                    content.cameras[name].serial,
                    "calibrate the camera that is plugged in",
                )
            )
    return content


def _hash(content: CalibrationFile) -> str:
    data = to_data(dataclasses.replace(content, hash=""))
    if not content.latencies:
        del data["latencies"]  # files from before they were measured keep their hash
    if content.board.kind == "charuco":
        del data["board"]["kind"]  # so do those from before there were other kinds
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _placed(parent: str, child: str, result: Result, *key: str) -> Placed:
    solution = result.calibration.solution
    T, region = solution.transforms[key], solution.region(key)
    x, y, z = (float(v) for v in T[:3, 3])
    qx, qy, qz, qw = (float(v) for v in Rotation.from_matrix(T[:3, :3]).as_quat())
    covariance = tuple(float(v) for v in solution.covariance_of(key).reshape(-1))
    return Placed(parent, child, (x, y, z), (qx, qy, qz, qw), *_longest(region), covariance)


def _longest(region: Region) -> tuple[float, float]:
    return float(region.radii_m[0]) * 1e3, float(np.degrees(region.radii_rad[0]))


def _residuals(result: Result) -> Residuals:
    solution, held_out = result.calibration.solution, result.verification
    return Residuals(
        corners_px=solution.rms_px,
        pixel_px=solution.noise.pixel_px,
        robot_mm=solution.noise.robot_m * 1e3,
        robot_deg=float(np.degrees(solution.noise.robot_rad)),
        sightings=result.sightings,
        rejected=len(result.calibration.rejected),
        held_out=held_out.sightings,
        held_out_mm=held_out.rms_m * 1e3,
        held_out_deg=float(np.degrees(held_out.rms_rad)),
        expected_mm=held_out.expected_m * 1e3,
        expected_deg=float(np.degrees(held_out.expected_rad)),
    )
