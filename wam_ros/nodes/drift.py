# SPDX-License-Identifier: Apache-2.0
"""The drift monitor: warns on ``diagnostics`` when a camera or an arm no longer sits where the calibration has it.

It takes no part in the run: it listens to depth and joints at the side, and losing it changes nothing. Where depth is missing,
or no camera sees a hand or what another one sees, it says that it is blind, and nothing else.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.node import Node

from wam_ros.core.drift import Displacement, DriftMonitor, Limits
from wam_ros.core.overlap import Gaze
from wam_ros.core.types import Observation
from wam_ros.files.assets import load_robot
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.hands import Hands
from wam_ros.ros.main import run_node
from wam_ros.ros.observe import ObservationSource
from wam_ros.ros.optics import OpticsEar
from wam_ros.ros.params import declare, parameter
from wam_ros.ros.status import OK, WARN, StatusReporter, Value


@dataclass(frozen=True, kw_only=True)
class DriftParams:
    """Parameters of the drift monitor."""

    robot: str = parameter(description="name or YAML path of the robot")
    shift_mm: float = parameter(
        1.5,
        description="least displacement that is told; more than the cameras' depth is wrong by itself",
        unit="mm",
        lower=0.1,
        upper=100.0,
    )
    sigmas: float = parameter(5.0, description="the same in units of its noise", lower=1.0, upper=100.0)
    window_s: float = parameter(8.0, description="over which is summed", unit="s", lower=2.0, upper=600.0)
    hands: bool = parameter(
        True, description="compare with the URDF's hands too; false where theirs is not the true shape"
    )


class DriftNode(Node):
    """Ports of the monitor."""

    def __init__(self, **node_args: Any) -> None:
        super().__init__("drift", **node_args)
        params = declare(self, DriftParams)
        self._robot = load_robot(params.robot)
        self._kinematics, self._hands = Kinematics(self._robot), Hands(self._robot) if params.hands else None
        self._optics = OpticsEar(self, self._robot)
        limits = Limits(shift_m=params.shift_mm / 1e3, sigmas=params.sigmas, window_s=params.window_s)
        self._monitor = DriftMonitor({camera.name: camera.arm for camera in self._robot.cameras}, limits)
        self._found: Displacement | None = None
        self._source = ObservationSource(self, self._robot, on_observation=self._on_observation, with_depth=True)
        self._reporter = StatusReporter(self, self._read)

    def destroy_node(self) -> None:
        """Listen no more, then end."""
        self._source.close()
        super().destroy_node()

    def _on_observation(self, seen: Observation) -> None:
        gazes: dict[str, Gaze] = {}
        for camera in self._robot.cameras:
            depth_m = seen.views[camera.name].depth_m if camera.name in seen.views else None
            optics = self._optics.optics.get(camera.name)
            if depth_m is not None and optics is not None and depth_m.shape == (optics.height, optics.width):
                pose = self._kinematics.pose(seen.joints.position, camera.frame)
                gazes[camera.name] = Gaze(depth_m, optics.matrix(), pose)
        self._monitor.see(seen.stamp_ns, gazes, self._hands.at(seen.joints.position) if self._hands else {})

    def _read(self) -> tuple[bytes, str, dict[str, Value]]:
        blind = self._monitor.blind()
        self._judge()
        state = "DRIFTED" if self._found else "BLIND" if len(blind) == len(self._monitor.cameras) else "WATCHING"
        values: dict[str, Value] = {"state": state, "suspect": self._found.key if self._found else ""}
        for seen in self._monitor.displacements():
            values |= {f"shift_mm_{seen.key}": seen.shift_m * 1e3, f"noise_mm_{seen.key}": seen.noise_m * 1e3}
            values |= {f"turned_deg_{seen.key}": float(np.degrees(seen.turned_rad))}
        values |= {f"blind_{camera}": why for camera, why in blind.items()}
        if self._found:
            return WARN, str(self._found), values
        return OK, "; ".join(f"{camera}: {why}" for camera, why in blind.items()) or state, values

    def _judge(self) -> None:
        """Keep a warning until the camera or arm is seen to agree again."""
        found, before = self._monitor.suspect(), self._found
        if found is not None and (before is None or before.key != found.key):
            self.get_logger().warning(f"{found}; see to how it is fixed, and calibrate again")
        if found is not None or (before is not None and self._monitor.judges(before.body)):
            self._found = found


def main() -> None:
    """Run the node."""
    sys.exit(run_node(DriftNode))
