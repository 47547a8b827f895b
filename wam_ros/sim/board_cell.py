# SPDX-License-Identifier: Apache-2.0
"""A robot before a calibration board, for calibrating without hardware: pictures, encoders that err, and the truth.

Arms are placed, not driven: a calibration looks at arms at rest. Encoders are off by a drawn angle at every pose,
pictures have grey noise, and the cameras sit a little beside where the URDF has them, as on a real robot.
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from wam_ros.core.board import Board, Optics
from wam_ros.core.errors import ConfigError
from wam_ros.core.robot import Robot
from wam_ros.core.transforms import exp, invert, rigid
from wam_ros.core.types import ByteImage, DepthImage, FloatArray
from wam_ros.sim.embodiment import robot_spec
from wam_ros.sim.render import Renderer, intrinsics
from wam_ros.sim.world import JointMap

BOARD_BODY = "calibration_board"
MARGIN = 1
"""White squares around the board's pattern, on every side."""
TABLE_M = 0.03


@dataclass(frozen=True)
class CellOptions:
    """What the simulated cell gets wrong, and where its board lies.

    Attributes:
        encoder_rad: standard deviation of each joint's encoder, drawn anew at every pose.
        grey: standard deviation of the pictures' noise, of 255.
        mount_m, mount_rad: standard deviation of the cameras' places against the URDF.
        board_xyz_m, board_yaw_rad: middle of the board in the robot's base frame, and its turn about the vertical.
        height: of the pictures [px]; their shape is the cameras'.
        blocks: on and around the board, on a table, so that depth tells more than a plane does; they hide the board.
        depth_1_m: standard deviation of measured depth is this times the distance squared.
    """

    encoder_rad: float = 0.0004
    grey: float = 2.0
    mount_m: float = 0.008
    mount_rad: float = 0.03
    board_xyz_m: tuple[float, float, float] = (0.34, 0.0, -0.04)
    board_yaw_rad: float = 0.0
    height: int = 960
    blocks: int = 0
    depth_1_m: float = 0.003


class BoardCell:
    """One robot, one board.

    Attributes:
        robot, board: as given.
    """

    def __init__(self, robot: Robot, board: Board, picture: ByteImage, options: CellOptions, seed: int = 0) -> None:
        """Build the cell.

        Args:
            robot: must have cameras.
            board: on the table.
            picture: the board's pattern seen from the front, grey.
            options: what is wrong.
            seed: of all that is drawn.

        Raises:
            ConfigError: the robot cannot be simulated.
            MissingDependencyError: no OpenGL library.
        """
        self.robot, self.board, self._options = robot, board, options
        self._rng = np.random.default_rng(seed)
        spec = robot_spec(robot)
        _light(spec, self._widest(), options.height)
        self._displace_cameras(spec)
        _lay_board(spec, robot, board, picture, options)
        _put_blocks(spec, robot, options)
        self._model = spec.compile()
        self._data = mujoco.MjData(self._model)
        self._joints = JointMap(self._model, robot)
        self._renderer = Renderer(self._model)
        self._encoders = robot.ready_position()
        self.move(self._encoders)

    def serial(self, camera: str) -> str:
        """Return the serial number of a camera."""
        return f"simulated-{self.robot.camera(camera).name}"

    def optics(self, camera: str) -> Optics:
        """Return the camera's inner calibration, at the pictures' size."""
        width, height = self._size(camera)
        K = intrinsics(self._model, camera, width, height)
        return Optics(width, height, float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]))

    def move(self, position: FloatArray) -> None:
        """Bring the joints to (J,) positions by their encoders; where they really are is a little beside."""
        self._encoders = np.array(position, dtype=np.float64)
        arms = ~np.array(self.robot.gripper_mask)
        error = self._rng.normal(0.0, self._options.encoder_rad, len(position)) * arms
        self._joints.place(self._data, self._encoders + error)
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)

    def joints(self) -> FloatArray:
        """(J,) what the encoders say."""
        return self._encoders.copy()

    def capture(self, camera: str) -> ByteImage:
        """Return (H, W, 3) RGB with noise."""
        color, _ = self._renderer.draw(self._data, camera, *self._size(camera))
        noise = self._rng.normal(0.0, self._options.grey, color.shape[:2])[:, :, None]
        return np.clip(color + noise, 0, 255).astype(np.uint8)

    def measure(self, camera: str) -> DepthImage:
        """Return (H, W) distance along the optical axis [m] with noise; 0 where nothing is hit."""
        _, depth_m = self._renderer.draw(self._data, camera, *self._size(camera))
        noise = self._rng.standard_normal(depth_m.shape, dtype=np.float32)
        return depth_m + np.float32(self._options.depth_1_m) * depth_m**2 * noise

    def camera_in(self, frame: str, camera: str) -> FloatArray:
        """(4, 4) truth: a camera's optical frame in a body of the robot."""
        seat = self._data.camera(camera)
        # MuJoCo's cameras look along -z with y up.
        T_world_camera = rigid(seat.xmat.reshape(3, 3) @ np.diag([1.0, -1.0, -1.0]), seat.xpos)
        return invert(self._body(frame)) @ T_world_camera

    def board_in(self, frame: str) -> FloatArray:
        """(4, 4) truth: the board's frame, at its first corner, in a body of the robot."""
        width, height = self.board.size_m
        middle = self._body(BOARD_BODY)
        return (
            invert(self._body(frame))
            @ middle
            @ rigid(np.diag([1.0, -1.0, -1.0]), np.array([-width / 2, height / 2, 0.0]))
        )

    def close(self) -> None:
        """Free the renderer."""
        self._renderer.close()

    def _body(self, name: str) -> FloatArray:
        body = self._data.body(name)
        return rigid(body.xmat.reshape(3, 3), body.xpos)

    def _size(self, camera: str) -> tuple[int, int]:
        found = self.robot.camera(camera)
        return round(self._options.height * found.width / found.height), self._options.height

    def _widest(self) -> int:
        if not self.robot.cameras:
            raise ConfigError(f"robot {self.robot.name}: has no cameras to calibrate; name them in its YAML")
        return max(self._size(camera.name)[0] for camera in self.robot.cameras)

    def _displace_cameras(self, spec: mujoco.MjSpec) -> None:
        spread = np.repeat([self._options.mount_m, self._options.mount_rad], 3)
        for camera in spec.cameras:
            T = rigid(Rotation.from_quat(np.roll(camera.quat, -1)).as_matrix(), np.array(camera.pos))
            T = T @ exp(self._rng.normal(0, 1, 6) * spread)
            camera.pos = T[:3, 3]
            camera.quat = np.roll(Rotation.from_matrix(T[:3, :3]).as_quat(), 1)


def _light(spec: mujoco.MjSpec, width: int, height: int) -> None:
    look = spec.visual
    look.global_.offwidth, look.global_.offheight = width, height
    look.quality.shadowsize, look.quality.offsamples = 0, 4
    look.headlight.ambient, look.headlight.diffuse, look.headlight.specular = [0.75] * 3, [0.1] * 3, [0] * 3
    spec.stat.extent, spec.stat.center = 1.0, [0.4, 0, 0.6]
    look.map.znear, look.map.zfar = 0.02, 10.0


def _lay_board(spec: mujoco.MjSpec, robot: Robot, board: Board, picture: ByteImage, options: CellOptions) -> None:
    """A flat board, face up, in the robot's base frame; x of its pattern to the robot's right."""
    square_px = round(picture.shape[1] * board.square_m / board.size_m[0])
    framed = np.pad(picture, MARGIN * square_px, constant_values=255)
    size = (np.array(board.size_m) + 2 * MARGIN * board.square_m) / 2
    texture = spec.add_texture(name=BOARD_BODY, type=mujoco.mjtTexture.mjTEXTURE_2D, nchannel=3)
    texture.height, texture.width = framed.shape
    texture.data = np.repeat(framed[:, :, None], 3, axis=2).tobytes()
    material = spec.add_material(name=BOARD_BODY)
    material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = BOARD_BODY
    yaw = options.board_yaw_rad - np.pi / 2
    body = spec.body(robot.base_frame).add_body(
        name=BOARD_BODY, pos=options.board_xyz_m, quat=[np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
    )
    body.add_geom(
        type=mujoco.mjtGeom.mjGEOM_PLANE, size=[*size, 0.01], material=BOARD_BODY, contype=0, conaffinity=0, mass=0
    )


def _put_blocks(spec: mujoco.MjSpec, robot: Robot, options: CellOptions) -> None:
    """A table and blocks in rings about the board's middle; always the same ones."""
    if not options.blocks:
        return
    rng, middle = np.random.default_rng(1), np.array(options.board_xyz_m)
    body, apart = spec.body(robot.base_frame).add_body(name="blocks"), {"contype": 0, "conaffinity": 0, "mass": 0}
    below = [0.0, 0.0, TABLE_M / 2 + 0.002]
    body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.3, 0.45, TABLE_M / 2], pos=middle - below, **apart)
    for number in range(options.blocks):
        angle, radius = 2.4 * number, 0.05 * np.sqrt(number)
        half, turn = rng.uniform([0.015, 0.015, 0.01], [0.035, 0.035, 0.04]), rng.uniform(-np.pi, np.pi) / 2
        at = middle + [radius * np.cos(angle), radius * np.sin(angle), half[2]]
        color = [*rng.uniform(0.3, 0.9, 3), 1.0]
        quat = [np.cos(turn), 0, 0, np.sin(turn)]
        body.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=half, pos=at, quat=quat, rgba=color, **apart)
