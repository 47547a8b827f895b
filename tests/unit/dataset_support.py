# SPDX-License-Identifier: Apache-2.0
"""Small episodes with contents that can be recognised again."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

import numpy as np

from wam_ros.core.episode import COMMITTED, Row, layout_of, values_of
from wam_ros.core.robot import Robot

HEIGHT, WIDTH, FPS = 48, 64, 15
PERIOD_NS = 1_000_000_000 // FPS
START_NS = 1_700_000_000_000_000_000


def small(robot: Robot) -> Robot:
    """The same robot with tiny cameras, of which the first has depth; its joints count frames, and are believed anywhere."""
    cameras = [
        replace(c, height=HEIGHT, width=WIDTH, rate_hz=FPS, depth=c.depth if i == 0 else "")
        for i, c in enumerate(robot.cameras)
    ]
    arms = [
        replace(
            arm,
            limits=replace(arm.limits, feedback_margin_rad=10.0),
            gripper=replace(arm.gripper, feedback_margin=10.0),
        )
        for arm in robot.arms
    ]
    return replace(robot, cameras=tuple(cameras), arms=tuple(arms))


def small_layout(robot: Robot):
    return layout_of(robot, depth=True, archive_depth=True)


def shade(frame: int, camera: int) -> int:
    """Brightness of a camera's picture at a frame."""
    return (20 + 7 * frame + 60 * camera) % 230


def row_at(robot: Robot, frame: int, instruction: str = "fold") -> Row:
    """A row whose values all follow from its number."""
    joints = len(robot.joint_names)
    state = np.linspace(0.1, 0.9, joints) + frame / 1000
    names = [camera.name for camera in robot.cameras]
    stamp_ns = START_NS + frame * PERIOD_NS
    pictures = {n: np.full((HEIGHT, WIDTH, 3), shade(frame, i), np.uint8) for i, n in enumerate(names)}
    depth_m = np.full((HEIGHT, WIDTH), 0.5 + frame / 100, np.float32)
    depth_m[0] = 0
    return Row(
        stamp_ns=stamp_ns,
        state=state,
        action=state + 0.001,
        requested=state + 0.002 if frame % 2 else None,
        action_source=COMMITTED,
        control_source="policy",
        capture_ns=MappingProxyType({n: stamp_ns + i * 1_000_000 for i, n in enumerate(names)}),
        complete=True,
        filled=False,
        instruction=instruction,
        colors=pictures,
        depths={names[0]: depth_m},
    )


def pictures_of(layout, row):
    return {s.key: (row.colors if s.kind == "color" else row.depths)[s.camera] for s in layout.streams}


def append(episode, robot, layout, frames, instruction="fold"):
    for frame in frames:
        row = row_at(robot, frame, instruction)
        values = {**values_of(row, robot, layout.cameras), "instruction": row.instruction}
        assert episode.append(values, pictures_of(layout, row))


def record(dataset, robot, layout, count, **ending):
    episode = dataset.begin(room=10_000)
    append(episode, robot, layout, range(count))
    return dataset.close(episode, **ending)
