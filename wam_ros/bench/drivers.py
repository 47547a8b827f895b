# SPDX-License-Identifier: Apache-2.0
"""What a real robot's driver costs the nodes that hear it: arms that speak quickly, and pictures that come as JPEG.

Arms: the robot's double and the real policy, safety and motion processes; both arms sway and are commanded at the
robot's rate. Counted is motion's own process, its CPU time and its periods. Unless a robot is named it is the one whose
arms speak fastest, of those that speak standard messages.

Pictures: the same robot, whose cameras send 1280x720 JPEG at 15 and at 30 Hz, 10 ms apart, and its arms at 200 Hz. One
process hears, decodes and synchronises; the floor is bare decoding of the same bytes in the same run. Age: from the
leading camera's exposure until the observation is there, the wait for the nearest frames of the others (up to 10 ms
at 30 Hz, 20 ms at 15 Hz) included.
"""

from __future__ import annotations

import json
import os
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from time import monotonic_ns, process_time_ns

import numpy as np
import yaml
from rclpy.node import Node

from wam_ros.bench.bystander import PATIENT, bystander_of, program, set_environment
from wam_ros.bench.listening import Listener
from wam_ros.bench.synthetic_robot import grainy
from wam_ros.core.errors import RunError
from wam_ros.core.joint_topics import feedback_topics
from wam_ros.core.robot import Robot
from wam_ros.core.types import NS_PER_S, Observation
from wam_ros.files.assets import load_policy, load_robot, load_task, names
from wam_ros.files.load import to_data
from wam_ros.graph import NodeSpec, RunOptions, build_graph
from wam_ros.ros.dialects import dialect_of
from wam_ros.ros.executor import LeanExecutor
from wam_ros.ros.observe import ObservationSource
from wam_ros.ros.qos import deeper
from wam_ros.runner import Runner
from wam_ros.vision.decode import decode_color
from wam_ros.vision.encode import jpeg

TASK, MODEL = "earphone_pack", "wam_ros.bench.stopwatch:Sway"
HEIGHT, WIDTH = 720, 1280
RATES_HZ = (15, 30)
FEEDBACK_S = 2.0


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this bench takes."""
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time of each part (default: 20)")
    parser.add_argument("--robot", default="", help="name or YAML path (default: the one whose arms speak fastest)")


def run(options: Namespace) -> dict[str, float | str]:
    """Return the keys of the bench ``drivers``."""
    robot = load_robot(options.robot) if options.robot else fastest()
    figures: dict[str, float | str] = {"robot": robot.name, **measure_arms(robot, options.seconds)}
    for rate_hz in RATES_HZ:
        found = measure_pictures(robot, options.seconds, rate_hz)
        figures |= {f"{key}__{rate_hz}hz": value for key, value in found.items()}
    return figures


def fastest() -> Robot:
    """Return the real robot whose arms speak most often, in messages that every ROS has."""
    robots = [robot for name in names("robots") if not (robot := load_robot(name)).simulated]
    spoken = [robot for robot in robots if not any(topic.stream.message for topic in feedback_topics(robot))]
    return max(spoken, key=lambda robot: max(topic.stream.rate_hz for topic in feedback_topics(robot)))


# -- arms ---------------------------------------------------------------------------------------


def measure_arms(robot: Robot, seconds: float) -> dict[str, float]:
    """Return what motion costs while the arms speak and sway.

    Raises:
        RunError: a process ended, or safety stopped the graph.
    """
    set_environment()
    with tempfile.TemporaryDirectory(prefix="wam_bench_") as name, ExitStack() as stack:
        folder = Path(name)
        robot = _with_small_cameras(robot)
        robot_path = _written(folder / "robot.yaml", robot)
        policy = replace(load_policy("hold"), backend=MODEL)
        options = RunOptions(TASK, robot_path, _written(folder / "policy.yaml", policy), params=PATIENT)
        specs = {s.name: s for s in build_graph(robot, load_task(TASK), policy, options)}
        double = NodeSpec("double", "double", {"robot": robot_path})
        runner = stack.enter_context(Runner([double, specs["policy"], specs["safety"]], folder, os.environ))
        with program("wam_ros.bench.stopwatch", specs["motion"], folder):
            begin_ns, end_ns = stack.enter_context(bystander_of(runner)).armed_for(seconds)
            spoken_hz = _feedback_hz(robot)
        return {
            "feedback_per_s": spoken_hz,
            **_of_motion(json.loads((folder / "motion.json").read_text()), robot, begin_ns, end_ns),
        }


def _of_motion(log: Mapping[str, list[int]], robot: Robot, begin_ns: int, end_ns: int) -> dict[str, float]:
    ticks, cpu = np.array(log["ticks"]), np.array(log["cpu"])
    inside = (begin_ns <= ticks) & (ticks <= end_ns)
    ticks, cpu = ticks[inside], cpu[inside]
    if len(ticks) < 2:
        raise RunError("bench drivers: motion did not tick; run it on an idle machine")
    p50, p99 = np.percentile(np.diff(ticks) / 1e6, [50, 99])
    return {
        "motion_cores": float((cpu[-1] - cpu[0]) / (ticks[-1] - ticks[0])),
        "motion_period_ms_p50": float(p50),
        "motion_period_ms_p99": float(p99),
        "motion_period_p99_ratio": float(p99 / (1e3 / robot.command_rate_hz)),
    }


def _with_small_cameras(robot: Robot) -> Robot:
    """Return the robot with pictures that cost nothing; they are measured by themselves."""
    small = [replace(c, width=64, height=48, transport="raw", color_else=(), depth="", info="") for c in robot.cameras]
    return replace(robot, cameras=tuple(small))


def _feedback_hz(robot: Robot) -> float:
    """Return how many messages the arms send each second."""
    heard = [0]

    def count(_: object) -> None:
        heard[0] += 1

    with Listener(LeanExecutor) as listener:
        topics = {topic.stream.topic: dialect_of(topic).message for topic in feedback_topics(robot)}
        for topic, kind in topics.items():
            listener.node.create_subscription(kind, topic, count, deeper(1000), raw=True)
        listener.wait_for(lambda: heard[0] > 0)
        before, begin_ns = heard[0], monotonic_ns()
        listener.spin(FEEDBACK_S)
        return (heard[0] - before) * NS_PER_S / (monotonic_ns() - begin_ns)


# -- pictures -----------------------------------------------------------------------------------


def measure_pictures(robot: Robot, seconds: float, rate_hz: float) -> dict[str, float]:
    """Return what becomes of three streams of JPEG of this rate.

    Raises:
        RunError: the robot was not heard.
    """
    set_environment()
    robot = _with_large_cameras(robot, rate_hz)
    with tempfile.TemporaryDirectory(prefix="wam_bench_") as name:
        folder = Path(name)
        spec = NodeSpec("synthetic_robot", "", {"robot": _written(folder / "robot.yaml", robot)})
        with program("wam_ros.bench.synthetic_robot", spec, folder), Listener(LeanExecutor) as listener:
            heard = _Heard(listener.node, robot)
            listener.wait_for(lambda: bool(heard.ages_ms))
            begin_ns, cpu_ns, dropped = monotonic_ns(), process_time_ns(), heard.dropped
            listener.spin(seconds)
            end_ns, cpu_ns, dropped = monotonic_ns(), process_time_ns() - cpu_ns, heard.dropped - dropped
            heard.source.close()
        log = json.loads((folder / "synthetic_robot.json").read_text())
    published = [int(stamp_ns) for stamp_ns, at_ns in log.items() if begin_ns <= at_ns <= end_ns]
    ages = [heard.ages_ms[stamp_ns] for stamp_ns in published if stamp_ns in heard.ages_ms]
    if not ages:
        raise RunError("bench drivers: the synthetic robot was not heard; run it on an idle machine")
    cores, floor = cpu_ns / (end_ns - begin_ns), len(robot.cameras) * rate_hz * _decode_s()
    return {
        "jpeg_sets_share": len(ages) / len(published),
        "jpeg_dropped": float(dropped),
        "jpeg_age_ms_p50": float(np.percentile(ages, 50)),
        "jpeg_age_ms_p99": float(np.percentile(ages, 99)),
        "jpeg_cores": cores,
        "jpeg_cores_floor": floor,
        "jpeg_cores_ratio": cores / floor,
    }


class _Heard:
    """Notes how old each complete observation was when it was there."""

    def __init__(self, node: Node, robot: Robot) -> None:
        self.ages_ms: dict[int, float] = {}
        self._clock = node.get_clock()
        self.source = ObservationSource(node, robot, on_observation=self._note)

    @property
    def dropped(self) -> int:
        """Pictures that were never decoded because newer ones came."""
        return int(self.source.statistics()["decodes_dropped"])

    def _note(self, observation: Observation) -> None:
        if all(view.fresh for view in observation.views.values()):
            self.ages_ms[observation.stamp_ns] = (self._clock.now().nanoseconds - observation.stamp_ns) / 1e6


def _with_large_cameras(robot: Robot, rate_hz: float) -> Robot:
    large = [
        replace(c, width=WIDTH, height=HEIGHT, rate_hz=rate_hz, transport="compressed", depth="", info="")
        for c in robot.cameras
    ]
    return replace(robot, cameras=tuple(large), stamp_source="header")


def _decode_s(repeats: int = 30) -> float:
    """Return the CPU time of decoding one of the pictures [s], the best of some tries."""
    data = jpeg(grainy(HEIGHT, WIDTH, 0))
    took = []
    for _ in range(repeats):
        begun_ns = process_time_ns()
        decode_color(data)
        took.append(process_time_ns() - begun_ns)
    return min(took) / NS_PER_S


def _written(path: Path, description: object) -> str:
    path.write_text(yaml.safe_dump(to_data(description)))
    return str(path)
