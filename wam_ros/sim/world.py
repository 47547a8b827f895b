# SPDX-License-Identifier: Apache-2.0
"""The simulated robot in its scene: targets in, joints and pictures out, one step at a time."""

from __future__ import annotations

import mujoco
import numpy as np

from wam_ros.core.errors import ShapeError, UnsafeCommandError, mismatch
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.core.types import ByteImage, DepthImage, FloatArray, nanoseconds
from wam_ros.sim.disturbance import QUIET, Disturbance, Disturber
from wam_ros.sim.grasp import Grasps, Hands
from wam_ros.sim.judgement import Judgement
from wam_ros.sim.pinch import Pinches
from wam_ros.sim.randomisation import NOMINAL, Randomisation, Variation
from wam_ros.sim.render import Renderer, intrinsics
from wam_ros.sim.scene import PICTURE_HEIGHT, PICTURE_WIDTH, SCENE_CAMERA, STEP_S, TASK, build_model
from wam_ros.sim.tasks import make_scene

__all__ = ["Judgement", "World"]

#: Corners around and along what is round, and squares along a side of what is flat (MuJoCo: 28, 16, 4).
_COARSE = 12, 8, 1


class World:
    """One robot, one task, one attempt after another; deterministic for a seed.

    Its servos go straight to the newest target within the joints' bounds; what a driver makes of a stream of targets
    (speed caps, stopping when they stop) is :class:`wam_ros.sim.tracker.Tracker`'s.

    Attributes:
        joint_names: (J,) robot order.
        step_ns: simulated time of one :meth:`step`.
        randomisation, disturbance: how attempts differ from each other, from the next :meth:`reset` on.
        truth_names: labels of :meth:`truth`.
    """

    def __init__(
        self,
        robot: Robot,
        task: Task,
        *,
        seed: int = 0,
        render: bool = True,
        randomisation: Randomisation = NOMINAL,
        disturbance: Disturbance = QUIET,
        coarse: bool = False,
    ) -> None:
        """Build the scene and start the attempt of that seed.

        Pictures that are ``coarse`` take half the time: round shapes have fewer corners, and light is the same all over
        a face. A policy that has learnt from the others sees a difference of one or two in 255 on average.

        Raises:
            ConfigError: robot, URDF or scene options do not fit each other.
            MissingDependencyError: pictures are wanted and no OpenGL library can draw them.
        """
        self.robot, self.task = robot, task
        self.joint_names = robot.joint_names
        self.step_ns = nanoseconds(STEP_S)
        self._scene = make_scene(robot, task)
        self.truth_names = self._scene.truth_names
        scene, pinned = self._scene, self._scene.graspable_body
        self._model = build_model(robot, scene.mjcf(), pinned, scene.physics, scene.assets)
        self._substeps = scene.physics.substeps
        self._data = mujoco.MjData(self._model)
        bodies = self._scene.bind(self._model, self._data)
        self._grasps: Hands = (Grasps if pinned else Pinches)(self._model, self._data, robot, bodies)
        self._joints = JointMap(self._model, robot)
        self._lower, self._upper = robot.bounds()
        furniture = ("floor", *(TASK + name for name in self._scene.furniture))
        self._variation = Variation(self._model, tuple(camera.name for camera in robot.cameras), furniture)
        self.randomisation, self.disturbance = randomisation, disturbance
        if coarse:
            look = self._model.vis.quality
            look.numslices, look.numstacks, look.numquads = _COARSE
        self._renderer = Renderer(self._model) if render else None
        self.reset(seed)

    @property
    def time_ns(self) -> int:
        """Simulated time since the attempt's start."""
        return self._steps * self.step_ns

    @property
    def picture_age_s(self) -> float:
        """How long before :attr:`time_ns` the moment lies that pictures show: the solver's step moves joints last."""
        return float(self._model.opt.timestep)

    def reset(self, seed: int) -> None:
        """Start the attempt of that seed: arms in the ready pose, workpiece at a drawn pose, time 0."""
        mujoco.mj_resetData(self._model, self._data)
        self._grasps.reset()
        self._steps = 0
        self._targets = self.robot.ready_position()
        self._joints.place(self._data, self._targets)
        self._variation.draw(seed, self.randomisation)
        self._disturber = Disturber(self.disturbance, seed, tuple(arm.name for arm in self.robot.arms))
        self._scene.reset(np.random.default_rng(seed), self.randomisation.wider_poses)
        mujoco.mj_forward(self._model, self._data)

    def set_targets(self, position: FloatArray) -> None:
        """Give the servos (J,) targets in robot order, grippers 0..1.

        Raises:
            ShapeError: wrong number of targets.
            UnsafeCommandError: not finite.
        """
        if np.shape(position) != self._targets.shape:
            raise ShapeError(
                mismatch("targets", self._targets.shape, np.shape(position), "give all joints in robot order")
            )
        if not np.isfinite(position).all():
            raise UnsafeCommandError("targets hold NaN or infinite values; the sender must be stopped")
        self._targets = np.clip(position, self._lower, self._upper)

    def step(self) -> None:
        """Advance by ``step_ns``."""
        self._disturber.act(self.time_ns, self._grasps, self._scene.push)
        self._joints.command(self._data, self._targets)
        self._grasps.update(self._scene.points(), self._openings(self._targets), self._openings(self.joints()))
        mujoco.mj_step(self._model, self._data, self._substeps)
        self._scene.watch(self._grasps.held)
        self._steps += 1

    def joints(self) -> FloatArray:
        """(J,) measured positions [rad], grippers 0..1."""
        return self._joints.measure(self._data)

    def render(self, camera: str) -> tuple[ByteImage, DepthImage]:
        """Return (H, W, 3) RGB and (H, W) depth [m] of a camera of the robot, or of ``scene`` for people.

        Raises:
            ConfigError: no such camera.
            RuntimeError: the world was made without pictures.
        """
        if self._renderer is None:
            raise RuntimeError("this world draws no pictures; make it with render=True")
        return self._renderer.draw(self._data, camera, *self._size(camera))

    def picture(self, camera: str) -> ByteImage:
        """Return the (H, W, 3) RGB of :meth:`render` without its depth, in two thirds of the time."""
        if self._renderer is None:
            raise RuntimeError("this world draws no pictures; make it with render=True")
        return self._renderer.draw_color(self._data, camera, *self._size(camera))

    def intrinsics(self, camera: str) -> FloatArray:
        """(3, 3) camera matrix."""
        return intrinsics(self._model, camera, *self._size(camera))

    def truth(self) -> FloatArray:
        """Return the values of ``truth_names``, in the robot's base frame; for demonstrators and judges only."""
        return self._scene.truth(self._grasps.held)

    def judge(self) -> Judgement:
        """Return how far the attempt has come."""
        return self._scene.judge(self._grasps.held)

    def close(self) -> None:
        """Free the renderer; twice is harmless."""
        if self._renderer is not None:
            self._renderer.close()

    def _size(self, camera: str) -> tuple[int, int]:
        if camera == SCENE_CAMERA:
            return PICTURE_WIDTH, PICTURE_HEIGHT
        found = self.robot.camera(camera)
        return found.width, found.height

    def _openings(self, position: FloatArray) -> dict[str, float]:
        return {arm.name: float(position[self.joint_names.index(arm.gripper.joint)]) for arm in self.robot.arms}


class JointMap:
    """Robot order to MuJoCo's joints and servos and back."""

    def __init__(self, model: mujoco.MjModel, robot: Robot) -> None:
        columns, joints, scales = [], [], []
        for arm in robot.arms:
            for name, travel in (*((joint, 1.0) for joint in arm.joints), *arm.gripper.fingers.items()):
                joints.append(name)
                scales.append(travel)
                columns.append(robot.joint_names.index(name if name in arm.joints else arm.gripper.joint))
        self._columns, self._scales = np.array(columns), np.array(scales)
        self._addresses = np.array([model.joint(name).qposadr[0] for name in joints])
        self._servos = np.array([model.actuator(name).id for name in joints])
        self._count = np.bincount(self._columns)

    def place(self, data: mujoco.MjData, position: FloatArray) -> None:
        """Put the joints at (J,) positions, at rest."""
        data.qpos[self._addresses] = position[self._columns] * self._scales

    def command(self, data: mujoco.MjData, position: FloatArray) -> None:
        """Give (J,) positions to the servos."""
        data.ctrl[self._servos] = position[self._columns] * self._scales

    def measure(self, data: mujoco.MjData) -> FloatArray:
        """(J,) positions; a gripper's is the mean of its fingers."""
        values = data.qpos[self._addresses] / self._scales
        return np.bincount(self._columns, weights=values) / self._count
