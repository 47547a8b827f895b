# SPDX-License-Identifier: Apache-2.0
"""One demonstration of a task: the scripted expert on the simulated twin, seen as a policy would see it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from wam_ros.collect.handover import Handover
from wam_ros.collect.unrest import Straying, Unrest
from wam_ros.core.episode import MISLED, Row
from wam_ros.core.errors import BackendError, ConfigError, mismatch
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.safety import POLICY
from wam_ros.core.stitch import stitch, unstitch
from wam_ros.core.task import Task
from wam_ros.core.types import ByteImage, Chunk, DepthImage, FloatArray, Observation
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.motion.splicer import Splicer
from wam_ros.policies.base import Request
from wam_ros.policies.expert import Expert
from wam_ros.sim.disturbance import QUIET, Disturbance
from wam_ros.sim.randomisation import NOMINAL, NOMINAL_WIDER, VARIED_WIDER
from wam_ros.sim.rollout import Pace, attempt
from wam_ros.sim.world import World
from wam_ros.vision.resize import resize, resize_depth

#: What a row's ``action_source`` says: the demonstrator's intent, from which the executed motion strays.
INTENDED = "intended"
#: What its ``control_source`` says where the intent is an example.
EXPERT = "expert"
_OFFER_EVERY = 8  # observations, as a policy's chunks come
_STREAM = 4
_PATIENCE = 0.85  # of the task's time; what has not succeeded by then is no example
_MISSES = 0.4  # of the recoveries; in the others a hand loses what it has gripped
_LEADS_S = (0.5, 6.0)  # a policy leads at least so long
_LATEST_S = 0.7  # a lost corner that is noticed later has mostly been dragged into creases that no fold takes out


@dataclass(frozen=True)
class Variety:
    """What differs between demonstrations.

    Attributes:
        randomised: share of them with colours, light, cameras and friction drawn.
        recoveries: share of them in which a grasp fails and is made again.
        nudges: share of them in which the workpiece is pushed during the approach.
        takeovers: share of them that the policy begins, until it needs help (``handover.py``).
        noise_rad: how far the executed joints stray from the intended ones, all along.
        sway_rad: how far an arm's joints stray besides, while its hand is empty and not about to grip.
        depth: the views' depth is recorded too; it differs in nothing else.
    """

    randomised: float = 0.0
    recoveries: float = 0.15
    nudges: float = 0.1
    noise_rad: float = 0.01
    sway_rad: float = 0.0
    depth: bool = False
    takeovers: float = 0.0


@dataclass(frozen=True)
class Demonstration:
    """What was recorded of an attempt.

    Attributes:
        seed: of it.
        rows: at the policy's rate, with views in the sizes of its mosaic.
        success: by the task's strict measure.
        why: what happened, for people.
        unaided: the policy led to the end, well or badly; nobody demonstrated anything.
    """

    seed: int
    rows: tuple[Row, ...]
    success: bool
    why: str
    unaided: bool = False


class _Seen(NamedTuple):
    """What the robot sees, for the policy and for the recording."""

    mosaic: ByteImage
    colors: dict[str, ByteImage]
    depths: dict[str, DepthImage]


class Demonstrator:
    """The expert with everything that it needs; use :func:`demonstrator`."""

    def __init__(self, robot: Robot, task: Task, policy: Policy, variety: Variety, expert: Expert) -> None:
        self._robot, self._task, self._policy = robot, task, policy
        self._variety, self._expert = variety, expert
        self._handover = Handover(policy, robot, task) if variety.takeovers else None
        self._pace = Pace(policy.rate_hz, 1, command_rate_hz=robot.command_rate_hz, linger_s=1.0, draw=False)
        self._patience_s = _PATIENCE * task.timeout_s
        self.world = World(robot, replace(task, timeout_s=self._patience_s))

    def demonstrate(self, seed: int) -> Demonstration:
        """Make the demonstration of a seed."""
        unrest = self._prepare(seed)
        self._expert.reset()
        player = Straying(Splicer.for_robot(self._robot), self._robot.gripper_mask, unrest, seed)
        rows: list[Row] = []
        success = False

        def act(seen: Observation) -> Chunk | None:
            views, handover = self._views(), self._handover
            if handover is not None and handover.leads(seen, self._expert):
                led, wished = handover.infer(seen, views.mosaic)
                rows.append(self._row(seen, wished, POLICY, views))
                return led
            before = self._expert.plan
            chunk = self._expert.infer(Request(seen, _NOTHING, self._task.instruction))
            rows.append(self._row(seen, chunk.positions[0], self._control(player), views))
            # One that has changed its mind does not wait: that would be acting against its intent.
            urgent = self._expert.plan is not before
            return chunk if urgent or (len(rows) - 1) % _OFFER_EVERY == 0 else None

        try:
            for moment in attempt(self.world, act, seed, self._pace, player):
                success = moment.judgement.success
        except BackendError as error:
            return Demonstration(seed, tuple(rows), False, str(error))
        if self._handover is not None and self._handover.untouched:
            return Demonstration(seed, (), success, "the policy was not helped", unaided=True)
        return Demonstration(seed, tuple(rows), success, self._story(unrest, rows))

    def close(self) -> None:
        """Free the renderer."""
        self.world.close()
        self._expert.close()
        if self._handover is not None:
            self._handover.close()

    def _prepare(self, seed: int) -> Unrest:
        """Draw what happens in the attempt."""
        rng, how = np.random.default_rng((seed, _STREAM)), self._variety
        varied, fails, misses, nudged = rng.uniform(size=4) < [how.randomised, how.recoveries, _MISSES, how.nudges]
        self.world.randomisation = VARIED_WIDER if varied else NOMINAL_WIDER
        quiet = QUIET if not nudged else replace(Disturbance(), slips=0)
        self.world.disturbance = replace(quiet, slips=1) if fails and not misses else quiet
        off_rad = rng.uniform(0.08, 0.14) * rng.choice([-1, 1]) if fails and misses else 0.0
        miss_arm = int(rng.integers(len(self._robot.arms)))
        unrest = Unrest(how.noise_rad, sway_rad=how.sway_rad, miss_rad=float(off_rad), miss_arm=miss_arm)
        self._expert.late_s = float(fails * rng.uniform(0, _LATEST_S))
        if self._handover is not None:
            leads_s = float(rng.uniform(*_LEADS_S)) if rng.uniform() < how.takeovers else None
            self._handover.begin(leads_s)
            self.world.task = replace(self._task, timeout_s=self._patience_s + (leads_s or 0.0))
        return unrest

    def _control(self, player: Straying) -> str:
        return MISLED if player.missing or self._expert.unaware else EXPERT

    def _story(self, unrest: Unrest, rows: list[Row]) -> str:
        disturbance, parts = self.world.disturbance, []
        parts += ["randomised"] if self.world.randomisation not in (NOMINAL, NOMINAL_WIDER) else []
        parts += ["a missed grasp"] if unrest.miss_rad else []
        parts += ["a lost grasp"] if disturbance.slips else []
        parts += ["a nudge"] if disturbance.nudge_m else []
        parts += ["a takeover"] if any(row.control_source == POLICY for row in rows) else []
        return ", ".join(parts) or "undisturbed"

    def _row(self, seen: Observation, intended: FloatArray, control: str, views: _Seen) -> Row:
        stamp_ns = seen.stamp_ns
        return Row(
            stamp_ns=stamp_ns,
            state=seen.joints.position,
            action=intended,
            requested=intended,
            action_source=INTENDED,
            control_source=control,
            capture_ns={cell.camera: stamp_ns for cell in self._policy.mosaic.cells},
            complete=True,
            filled=False,
            instruction=self._task.instruction,
            colors=views.colors,
            depths=views.depths,
        )

    def _views(self) -> _Seen:
        """Return the views as the policy node would lay them into its mosaic, and their depth if it is wanted."""
        mosaic = self._policy.mosaic
        full: dict[str, ByteImage] = {}
        depths: dict[str, DepthImage] = {}
        for cell in mosaic.cells:
            if self._variety.depth:
                full[cell.camera], depth_m = self.world.render(cell.camera)
                depths[cell.camera] = resize_depth(depth_m, cell.height, cell.width)
            else:
                full[cell.camera] = self.world.picture(cell.camera)
        stitched = stitch(mosaic, full, resize)
        return _Seen(stitched, {name: np.array(view) for name, view in unstitch(mosaic, stitched).items()}, depths)


_NOTHING: ByteImage = np.zeros((1, 1, 3), np.uint8)


@contextmanager
def demonstrator(robot: str, task: str, policy: str, expert: str, variety: Variety) -> Iterator[Demonstrator]:
    """Build everything by names or YAML paths; it is closed at the end.

    Args:
        robot, task: what is demonstrated.
        policy: whose rate and views are recorded.
        expert: a policy that demonstrates; asked at the rate and with the horizon of the other one.
        variety: between demonstrations.

    Raises:
        ConfigError: something of that name does not exist, or the policy does not demonstrate.
    """
    body, work, views, who = load_robot(robot), load_task(task), load_policy(policy), load_policy(expert)
    if who.backend != "expert":
        remedy = "let an expert demonstrate"
        raise ConfigError(mismatch(f"record: backend of {who.name}, which demonstrates", "expert", who.backend, remedy))
    script = Expert()
    script.load(replace(who, rate_hz=views.rate_hz, execute_rows=1), body, work)
    made = Demonstrator(body, work, views, variety, script)
    try:
        yield made
    finally:
        made.close()
