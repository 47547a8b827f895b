# SPDX-License-Identifier: Apache-2.0
"""``wam check`` and ``wam list``: what the YAML files say, held against what they name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from wam_ros.core.card import Card, check_card_fits
from wam_ros.core.episode import EpisodeLayout, layout_of
from wam_ros.core.errors import ConfigError, DatasetError, WamError, mismatch
from wam_ros.core.policy import Policy, check_policy_fits
from wam_ros.core.robot import Arm, Robot
from wam_ros.core.task import Task
from wam_ros.files.assets import Kind, load_policy, load_robot, load_task, names

WIDE = 200
LOADERS: Mapping[Kind, Callable[[str], Robot | Task | Policy]] = {
    "robots": load_robot,
    "tasks": load_task,
    "policies": load_policy,
}


def check(kind: str, name: str) -> list[str]:
    """Return what is good about a robot, task or policy, one line each.

    Raises:
        WamError: what is not.
    """
    try:
        return {"robot": check_robot, "task": check_task, "policy": check_policy}[kind](name)
    except ConfigError as error:
        # What is found by holding files against each other does not know the one that is being checked.
        raise error if name in str(error) else ConfigError(f"{kind} {name}: {error}") from error


def check_robot(name: str) -> list[str]:
    """Check a robot's YAML, that its URDF has what it names, and that its limits lie within the URDF's."""
    from wam_ros.files.calibrated import latency_sources
    from wam_ros.kinematics.description import full_model

    robot = load_robot(name)
    model = full_model(robot)
    lines = [f"{robot.name}: {robot.description}"]
    for arm in robot.arms:
        places = [model.joints[model.getJointId(joint)].idx_q for joint in arm.joints]
        _check_within(robot.urdf, arm, model.lowerPositionLimit[places], model.upperPositionLimit[places])
        lines.append(f"arm {arm.name}: {len(arm.joints)} joints and a gripper, limits within {robot.urdf}")
    for camera in robot.cameras:
        if camera.arm not in ("", *(arm.name for arm in robot.arms)):
            arms = [arm.name for arm in robot.arms]
            raise ConfigError(mismatch(f"camera {camera.name}: arm", arms, camera.arm, "name the arm that carries it"))
        size = f"{camera.width}x{camera.height} at {camera.rate_hz:g} Hz"
        lines.append(f"camera {camera.name}: {size}, {'with' if camera.depth else 'without'} depth, {camera.color}")
    return [*lines, *latency_sources(robot), "good"]


def check_task(name: str) -> list[str]:
    """Check a task's YAML, that its defaults exist and fit, and that its scene can be built."""
    task = load_task(name)
    robot, policy = load_robot(task.default_robot), load_policy(task.default_policy)
    check_policy_fits(policy, robot)
    lines = [f"{task.name}: {task.description}", f"robot {robot.name} and policy {policy.name} fit"]
    if task.scene:
        from wam_ros.sim.tasks import make_scene

        make_scene(robot, task)
        lines.append(f"scene {task.scene} can be built for {robot.name}")
    return [*lines, "good"]


def check_policy(name: str) -> list[str]:
    """Check a policy's YAML, that its backend is one and its checkpoint whole, and say which robots it fits."""
    from wam_ros.policies.registry import create_backend

    policy = load_policy(name)
    create_backend(policy.backend)
    lines = [f"{policy.name}: {policy.description}", f"backend {policy.backend} is installed"]
    card = _card_of(policy)
    if card:
        lines.append(f"checkpoint {policy.checkpoint}: weights match their card ({card.weights_sha256[:12]})")
    fits = [name for name in names("robots") if _fits(policy, card, name)]
    return [*lines, f"fits {', '.join(fits) or 'no robot here'}", "good"]


def check_dataset(root: Path, robot: str = "", *, deep: bool = False) -> list[str]:
    """Check every file of a recorded dataset, and that it is this robot's where one is named.

    Raises:
        DatasetError: a line for each problem.
    """
    from wam_ros.files.dataset.check import examine

    found = examine(root, _layout_like(root, robot) if robot else None, deep=deep)
    if found.problems:
        raise DatasetError("\n".join([f"{root}: {len(found.problems)} problems", *found.problems]))
    lines = [f"{root}: {found.episodes} episodes of {found.robot}, {found.frames} rows, {found.seconds / 60:.1f} min"]
    if found.failures:
        lines.append(f"{found.failures} of them are marked as failures")
    return [*lines, "good"]


def _layout_like(root: Path, robot: str) -> EpisodeLayout | None:
    """What this robot would have recorded with the dataset's choice of cameras and depth."""
    from wam_ros.files.dataset.declaration import read_declaration

    try:
        layout = read_declaration(root).layout
    except DatasetError:
        return None  # the examination says what is wrong with it
    described = load_robot(robot)
    cameras = [name for name in layout.cameras if name in {camera.name for camera in described.cameras}]
    kinds = {stream.kind for stream in layout.streams}
    return layout_of(described, cameras, depth="depth" in kinds, archive_depth="depth_archive" in kinds)


def show_list(more: Mapping[str, Sequence[str]]) -> None:
    """Print robots, tasks and policies with their descriptions, then what else there is."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    # Lines of a pipe need not fit a screen.
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=WIDE)
    table = Table("kind", "name", "description", box=None, pad_edge=False)
    for kind, load in LOADERS.items():
        for name in names(kind):
            table.add_row(kind, name, escape(_description(load, name)))
    for what, found in more.items():
        table.add_row(what, ", ".join(found), "")
    console.print(table)


def _description(load: Callable[[str], Robot | Task | Policy], name: str) -> str:
    try:
        return load(name).description
    except WamError as error:
        return str(error)


def _check_within(urdf: str, arm: Arm, lower: Sequence[float], upper: Sequence[float]) -> None:
    """Refuse targets beyond what the URDF says the joints can do."""
    limits = arm.limits
    for joint, low, high, least, most in zip(arm.joints, limits.lower_rad, limits.upper_rad, lower, upper, strict=True):
        if low < least or high > most:
            what = f"arm {arm.name}: limits of {joint}"
            raise ConfigError(
                mismatch(what, f"within {least:g}..{most:g} ({urdf})", f"{low:g}..{high:g}", "narrow them")
            )


def _card_of(policy: Policy) -> Card | None:
    from wam_ros.files.card import checkpoint_folder, read_card

    return read_card(checkpoint_folder(policy)) if policy.checkpoint else None


def _fits(policy: Policy, card: Card | None, name: str) -> bool:
    robot = load_robot(name)
    try:
        check_policy_fits(policy, robot)
        if card:
            check_card_fits(card, policy, robot)
    except WamError:
        return False
    return True
