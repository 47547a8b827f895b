# SPDX-License-Identifier: Apache-2.0
"""Samples of easy_handeye2: poses only, no corners, so that what they are worth can be found out again.

A sample holds ``robot`` and ``tracking``, each a translation and a quaternion. With the camera on the tool the
robot's is T_base_tool; with the camera beside the robot it is T_tool_base. ``tracking`` is T_camera_marker.
Each tracked pose becomes nine points of a board of 10 cm in an ideal camera, so that one solver serves all; their
noise is estimated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.problem import Mount, Noise, Pinhole, Problem, Sighting
from wam_ros.core.transforms import apply, invert, rigid
from wam_ros.core.types import FloatArray
from wam_ros.files.load import load_yaml

ARM, CAMERA, MARKER = "arm", "camera", "marker"
EYE = Pinhole(600.0, 600.0, 320.0, 240.0)
POINTS = np.array([[x, y, 0.0] for y in (-0.05, 0.0, 0.05) for x in (-0.05, 0.0, 0.05)])
FIRST_NOISE = Noise(1.0, 0.001, 0.002)


@dataclass(frozen=True)
class Vector:
    """A translation [m]."""

    x: float
    y: float
    z: float


@dataclass(frozen=True)
class Quaternion:
    """A rotation."""

    x: float
    y: float
    z: float
    w: float


@dataclass(frozen=True)
class Pose:
    """A transform as ROS writes it."""

    translation: Vector
    rotation: Quaternion

    def matrix(self) -> FloatArray:
        """(4, 4) transform.

        Raises:
            CalibrationError: the quaternion has no direction.
        """
        q = np.array([self.rotation.x, self.rotation.y, self.rotation.z, self.rotation.w])
        if not 0.9 < np.linalg.norm(q) < 1.1:
            raise CalibrationError(f"samples: expected unit quaternions, got {q.tolist()}; export the samples again")
        return rigid(
            Rotation.from_quat(q).as_matrix(), np.array([self.translation.x, self.translation.y, self.translation.z])
        )


@dataclass(frozen=True)
class Sample:
    """One pose of the robot and what was tracked in it."""

    robot: Pose
    tracking: Pose


@dataclass(frozen=True)
class Samples:
    """A samples file."""

    samples: tuple[Sample, ...]


def load_samples(path: Path, *, on_tool: bool) -> Problem:
    """Read a samples file.

    Args:
        path: of the YAML file.
        on_tool: whether the camera is on the tool (eye in hand) or beside the robot (eye on base).

    Raises:
        ConfigError: not a samples file.
        CalibrationError: quaternions that are none, or a marker behind the camera.
    """
    read = load_yaml(path, Samples).samples
    robot = [sample.robot.matrix() for sample in read]
    seen = [sample.tracking.matrix() for sample in read]
    if any(T[2, 3] <= 0.05 for T in seen):
        raise CalibrationError(
            f"{path}: a marker lies behind the camera; tracking must be the marker in the camera's optical frame, in metres"
        )
    return Problem(
        arms=(ARM,),
        cameras={CAMERA: Mount(ARM if on_tool else "")},
        lenses={CAMERA: EYE},
        boards={MARKER: Mount("" if on_tool else ARM)},
        poses={(ARM, i): T if on_tool else invert(T) for i, T in enumerate(robot)},
        sightings=tuple(
            Sighting(CAMERA, MARKER, i, POINTS, EYE.project(apply(T, POINTS)), T) for i, T in enumerate(seen)
        ),
        noise=FIRST_NOISE,
    )
