# SPDX-License-Identifier: Apache-2.0
"""Plays the operator inside ``wam run``: readies the graph, arms it, lets it try, and writes down how it went.

It listens at the side (ros/listen.py) and acts only through a person's services; every wait ends with a sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String

from wam_ros.core.errors import RunError, WamError
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.graph import RunOptions
from wam_ros.report.course import Course
from wam_ros.report.progress import Listener, Moment
from wam_ros.report.summary import Attempt, Ending, Run, make_setup, write_interim
from wam_ros.report.witness import Witness
from wam_ros.ros.arming import ACTORS, Arming
from wam_ros.ros.executor import LeanExecutor
from wam_ros.ros.listen import SCENE_CAMERA, SideListener
from wam_ros.ros.main import node_of_its_own
from wam_ros.ros.qos import LATCHED
from wam_ros.ros.referee import PersonReferee, Referee, SimulatorReferee
from wam_ros.ros.scribe import Scribe
from wam_ros.ros.wait import Patience, Waiter

#: How often the listener is told [s].
TELL_S = 0.25


def run_attempts(
    robot: Robot,
    task: Task,
    policy: Policy,
    options: RunOptions,
    folder: Path,
    listener: Listener,
    *,
    episodes: int = 1,
    check: Callable[[], None] = lambda: None,
    patience: Patience | None = None,
) -> Run:
    """Make the attempts on a graph that has been started, and return how they went.

    What ends it early is a sentence in the run's ``error``; it is then not ``complete``. An interim summary is
    written after each attempt; ``report.folder.write_run`` writes the whole when the graph has ended.

    Args:
        robot: of the graph, as are the next three.
        task: its stages and time limit.
        policy: for the record.
        options: seed and pace.
        folder: of the run.
        listener: is told how it goes.
        episodes: attempts to make.
        check: raises a WamError when a needed process has ended.
        patience: how long to wait for what.
    """
    setup = make_setup(robot, task, policy, options.pace, options.latency_s, options.seed, episodes)
    setup = replace(setup, twin=options.twin)
    run, begun_s = Run(setup), monotonic()
    listener.begins(setup)
    try:
        with node_of_its_own(Operator, robot, task, options, listener, check, patience or Patience()) as operator:
            operator.arming.get_ready()
            for number in range(1, episodes + 1):
                run.attempts.append(operator.attempt(number))
                listener.ended(number, run.attempts[-1])
                write_interim(folder, run)
        run.complete = True
    except (WamError, KeyboardInterrupt) as error:
        run.interrupted = isinstance(error, KeyboardInterrupt)
        run.error = str(error) or "interrupted by the operator"
    finally:
        run.wall_s = monotonic() - begun_s
        write_interim(folder, run)
    return run


class Operator(Node):
    """Makes attempts.

    Attributes:
        arming: readies and arms the graph.

    Raises:
        RunError: from every method that waits, saying what never came.
    """

    def __init__(
        self,
        robot: Robot,
        task: Task,
        options: RunOptions,
        listener: Listener,
        check: Callable[[], None],
        patience: Patience,
        **node_args: Any,
    ) -> None:
        clock = Parameter("use_sim_time", value=robot.simulated)
        super().__init__("operator", parameter_overrides=[clock], **node_args)
        self._robot, self._task, self._seed = robot, task, options.seed
        self._listener, self._patience = listener, patience
        self._spinner = LeanExecutor(context=self.context)
        self._spinner.add_node(self)
        waiter = self._waiter = Waiter(self._spinner, check)
        self._witness = Witness(robot, self._now_ns)
        # Drawing for people takes time, which in lockstep simply waits.
        SideListener(self, robot, self._witness, [SCENE_CAMERA] if options.pace == "lockstep" else [])
        self.arming = Arming(self, self._waiter, self._witness, listener.waiting, patience)
        who = None if robot.simulated or options.double else PersonReferee(self, task, waiter, remote=options.console)
        self._referee: Referee = who or SimulatorReferee(self, task, waiter)
        self._scribe = Scribe(self, self._waiter, self._witness, patience, wanted=bool(options.record))
        self.create_publisher(String, "instruction", LATCHED).publish(String(data=task.instruction))

    def destroy_node(self) -> None:
        """Leave the graph."""
        self._spinner.shutdown()
        super().destroy_node()

    def attempt(self, number: int) -> Attempt:
        """Make one attempt; numbers count from 1."""
        self._referee.reset(number)
        self.arming.arm()
        course = Course(number, self._seed + number - 1, self._task, self._robot, self._now_ns())
        self._witness.begin(course.recording)
        begun_s = monotonic()
        try:
            self._scribe.begin()
            self._referee.play(True)
            ending = self._watch(course, begun_s)
            self._scribe.end(success=ending == "success")
        except BaseException:
            self.arming.let_go()
            raise
        wall_s, stop_cause = monotonic() - begun_s, self._witness.cause
        self._witness.recording = None
        self.arming.disarm()
        self._referee.play(False)
        return course.attempt(ending, wall_s, stop_cause, self._last_figures())

    def _watch(self, course: Course, begun_s: float) -> Ending:
        """Follow an attempt until it ends."""
        moved_s, told_s = begun_s, 0.0
        while True:
            self._waiter.gulp()
            now_s = monotonic()
            if course.advance(self._referee.verdict(), course.recording.time_s(self._now_ns())):
                moved_s = now_s
            elif now_s - moved_s > self._patience.still_s:
                raise RunError(f"the robot's clock stood still for {self._patience.still_s:g} s; look at the logs")
            ending = course.ending(self._witness.state)
            if ending is not None:
                return ending
            if now_s - told_s > TELL_S:
                told_s = now_s
                self._tell(course, now_s - begun_s)

    def _tell(self, course: Course, wall_s: float) -> None:
        figures = {name: self._witness.report(name).numbers() for name in ACTORS}
        state = self._witness.state
        self._listener.moment(Moment(course.number, course.seed, state, course.stages, course.time_s, wall_s, figures))

    def _last_figures(self) -> dict[str, float]:
        """The nodes' figures, after each has reported once more."""
        counts = {name: self._witness.report(name).count for name in ACTORS}
        self._waiter.until(
            lambda: all(self._witness.report(name).count > count for name, count in counts.items()),
            self._patience.arm_s,
            lambda: "a node stopped reporting on diagnostics; look at the nodes' logs",
        )
        return self._witness.figures()

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)
