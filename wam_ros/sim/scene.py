# SPDX-License-Identifier: Apache-2.0
"""Robot, room and the task's furniture and workpiece in one MuJoCo model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from wam_ros.core.robot import Robot
from wam_ros.kinematics.forward import Kinematics
from wam_ros.sim.embodiment import robot_spec

STEP_S = 0.005
TASK = "task/"  # prefix of everything that the task's MJCF names
GRASP_SLOTS = 2  # points of the workpiece that one hand can hold
PICTURE_WIDTH, PICTURE_HEIGHT = 640, 480  # largest picture of the people's camera
SCENE_CAMERA = "scene"
# For people: from the front and the right, in the robot's base frame, for each metre between the arms.
SCENE_FROM = np.array([2.46, -1.27, 1.65])
SINGLE_ARM_M = 0.5


@dataclass(frozen=True)
class Physics:
    """How a scene is solved.

    Attributes:
        substeps: of one step of the world.
        friction: share of the normal direction's stiffness that friction gets; above 1, what is held creeps less.
    """

    substeps: int
    integrator: mujoco.mjtIntegrator
    solver: mujoco.mjtSolver
    cone: mujoco.mjtCone
    friction: float
    iterations: int
    tolerance: float


# Flexes need "discrete" from MuJoCo 3.17 on; conjugate gradients is the fastest solver for them. Looser iterations
# fold alike in two thirds of the time.
CLOTH = Physics(
    substeps=1,
    integrator=mujoco.mjtIntegrator.mjINT_DISCRETE,
    solver=mujoco.mjtSolver.mjSOL_CG,
    cone=mujoco.mjtCone.mjCONE_PYRAMIDAL,
    friction=1.0,
    iterations=10,
    tolerance=1e-4,
)
RIGID = Physics(
    substeps=2,
    integrator=mujoco.mjtIntegrator.mjINT_IMPLICITFAST,
    solver=mujoco.mjtSolver.mjSOL_NEWTON,
    cone=mujoco.mjtCone.mjCONE_ELLIPTIC,
    friction=10.0,
    iterations=30,
    tolerance=1e-6,
)


def build_model(
    robot: Robot, task_mjcf: str, graspable_body: str, physics: Physics, assets: Mapping[str, bytes] | None = None
) -> mujoco.MjModel:
    """Return the compiled model.

    Args:
        robot: the robot; stands at the world's origin.
        task_mjcf: MJCF whose worldbody is written in the robot's base frame.
        graspable_body: a body of the task, to which idle grasp constraints are attached until they are needed; empty
            where hands hold by friction.
        physics: how it is solved.
        assets: files that the MJCF names.
    """
    spec = robot_spec(robot)
    _set_physics(spec, physics)
    _furnish_room(spec, robot)
    frame = spec.body(robot.base_frame).add_frame()
    spec.attach(mujoco.MjSpec.from_string(task_mjcf, assets=dict(assets or {})), prefix=TASK, frame=frame)
    for arm in robot.arms if graspable_body else ():
        for slot in range(GRASP_SLOTS):
            _add_grasp(spec, f"{arm.name}_grasp{slot}", arm.tool_frame, TASK + graspable_body)
    return spec.compile()


def _set_physics(spec: mujoco.MjSpec, physics: Physics) -> None:
    option = spec.option
    option.timestep = STEP_S / physics.substeps
    option.integrator, option.solver, option.cone = physics.integrator, physics.solver, physics.cone
    option.impratio, option.iterations, option.tolerance = physics.friction, physics.iterations, physics.tolerance
    spec.memory = 64 << 20


def _furnish_room(spec: mujoco.MjSpec, robot: Robot) -> None:
    look = spec.visual
    look.global_.offwidth = max(PICTURE_WIDTH, *(camera.width for camera in robot.cameras))
    look.global_.offheight = max(PICTURE_HEIGHT, *(camera.height for camera in robot.cameras))
    look.quality.shadowsize, look.quality.offsamples = 0, 0
    look.headlight.ambient, look.headlight.diffuse, look.headlight.specular = [0.4] * 3, [0.3] * 3, [0] * 3
    spec.stat.extent, spec.stat.center = 1.0, [0.4, 0, 0.6]
    look.map.znear, look.map.zfar = 0.02, 10.0
    spec.add_texture(
        name="sky",
        type=mujoco.mjtTexture.mjTEXTURE_SKYBOX,
        builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=[0.78, 0.82, 0.86],
        rgb2=[0.5, 0.55, 0.6],
        width=64,
        height=384,
    )
    world = spec.worldbody
    world.add_light(
        name="lamp",
        type=mujoco.mjtLightType.mjLIGHT_DIRECTIONAL,
        pos=[0.1, 0.5, 2.4],
        dir=[0.2, -0.3, -1],
        diffuse=[0.55] * 3,
        specular=[0.1] * 3,
        castshadow=False,
    )
    world.add_geom(
        name="floor", type=mujoco.mjtGeom.mjGEOM_PLANE, size=[4, 4, 0.1], rgba=[0.42, 0.44, 0.47, 1], conaffinity=0
    )
    spec.body(robot.base_frame).add_camera(
        name=SCENE_CAMERA, pos=_breadth_m(robot) * SCENE_FROM, xyaxes=[0.52, 0.85, 0, -0.49, 0.30, 0.82], fovy=45
    )


def _breadth_m(robot: Robot) -> float:
    """Distance between the outermost arms' bases."""
    kinematics, ready = Kinematics(robot), robot.ready_position()
    bases = [kinematics.pose(ready, arm.base_frame)[:3, 3] for arm in robot.arms]
    return max([SINGLE_ARM_M, *(float(np.linalg.norm(a - b)) for a in bases for b in bases)])


def _add_grasp(spec: mujoco.MjSpec, name: str, tool: str, workpiece: str) -> None:
    """Add an idle point constraint between a hand and the workpiece; grasping chooses the point."""
    grasp = spec.add_equality(
        name=name, type=mujoco.mjtEq.mjEQ_CONNECT, objtype=mujoco.mjtObj.mjOBJ_BODY, name1=tool, name2=workpiece
    )
    grasp.active = False
    grasp.solref, grasp.solimp = [0.008, 1.0], [0.9, 0.95, 0.001, 0.5, 2.0]
