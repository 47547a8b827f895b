# SPDX-License-Identifier: Apache-2.0
"""``wam bench recorder``: three 640x480 cameras at 30 Hz, one of them with depth, and joints at 200 Hz, recorded.

The real recorder in its own process, and a robot that films in another. What the robot said is held against what
the dataset holds: a frame counts as written when a row has its capture time. A frame that was received may be nearest to no row:
cameras are not synchronised, and rows follow the leader. CPU is the recorder's, with
everything it does, against a bare loop in this process that only encodes the same kind of pictures with the same
codecs, one after the other.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import numpy as np
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from wam_ros.bench.filming_robot import depths, film
from wam_ros.core.depth_codes import to_codes
from wam_ros.core.episode import EpisodeLayout, layout_of
from wam_ros.core.errors import RunError
from wam_ros.core.robot import Robot
from wam_ros.environment import additions
from wam_ros.files.assets import load_robot, twins
from wam_ros.files.dataset.check import examine
from wam_ros.files.dataset.declaration import read_declaration
from wam_ros.files.dataset.disk import size_bytes
from wam_ros.files.dataset.read import DatasetReader, Recording
from wam_ros.files.dataset.video import DEPTH, DEPTH_ARCHIVE, Codec, VideoJournal
from wam_ros.files.load import to_data
from wam_ros.ros.qos import EVENT
from wam_ros.ros.status import find_status, read_values

HEIGHT, WIDTH, FPS = 480, 640, 30
_PATIENCE_S = 60.0
_SETTLE_S = 1.5
_BARE_FRAMES = 90


def add_arguments(parser: ArgumentParser) -> None:
    """Declare what this bench takes."""
    parser.add_argument("--seconds", type=float, default=120.0, help="length of the episode (default: 120)")
    parser.add_argument("--codec", default="auto", help="auto, av1 or h264 (default: auto)")


def run(options: Namespace) -> dict[str, float | str]:
    """Return the keys of the bench ``recorder``."""
    os.environ.update(additions(os.environ, simulated=True))
    os.environ.setdefault("ROS_DOMAIN_ID", str(90 + os.getpid() % 10))  # nobody else's robot
    with tempfile.TemporaryDirectory(prefix="wam_bench_") as name:
        folder = Path(name)
        robot = _robot()
        (folder / "robot.yaml").write_text(yaml.safe_dump(to_data(robot)))
        cost = _record(folder, options.seconds, options.codec)
        root = folder / "set"
        found = examine(root, deep=True)
        if found.problems:
            raise RunError(f"bench recorder: {found.problems[0]}")
        (recording,) = DatasetReader(root)
        color, layout = read_declaration(root).color, layout_of(robot, depth=True, archive_depth=True)
        bare_s = _bare_loop(folder, layout, color)
        said = json.loads((folder / "said.json").read_text())
        return {
            **_counts(recording, said, robot),
            "save_s": cost.save_s,
            "cpu_ratio_to_encoder": cost.cpu_s / (bare_s * cost.rows),
            "recorder_cores": cost.cpu_s / cost.wall_s,
            "encoder_loop_ms_per_row": 1e3 * bare_s,
            "codec": color.name,
            "megabytes_per_minute": size_bytes(root) / 1e6 / (len(recording) / FPS) * 60,
        }


def _robot() -> Robot:
    robot = load_robot(twins()[0])
    cameras = [
        replace(c, height=HEIGHT, width=WIDTH, rate_hz=float(FPS), depth=c.depth if n == 0 else "", transport="raw")
        for n, c in enumerate(robot.cameras[:3])
    ]
    return replace(robot, cameras=tuple(cameras), leader_camera=cameras[0].name, simulated=False)


# -- recording -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """What the recorder took."""

    rows: int
    cpu_s: float
    wall_s: float
    save_s: float


def _record(folder: Path, seconds: float, codec: str) -> Cost:
    robot = ["-p", f"robot:={folder / 'robot.yaml'}"]
    recorder = ["wam_ros", "node", "recorder", "--ros-args", *robot, "-p", f"root:={folder / 'set'}"]
    driver = ["wam_ros.bench.filming_robot", str(folder / "said.json"), "--ros-args", *robot]
    with _operator() as operator, _program(*recorder, "-p", f"codec:={codec}") as process, _program(*driver):
        operator.until(lambda: float(operator.status.get("sets_per_s", "0")) > 0.5 * FPS)
        operator.spin_for(_SETTLE_S)
        operator.call("start")
        cpu_s, began_s = _cpu_s(process.pid), monotonic()
        operator.spin_for(seconds)
        operator.call("stop")
        wall_s = monotonic() - began_s
        operator.until(lambda: operator.status.get("state") == "IDLE" and operator.status["episodes"] == "1")
        cpu_s = _cpu_s(process.pid) - cpu_s
    (recording,) = DatasetReader(folder / "set")
    return Cost(len(recording), cpu_s, wall_s, float(operator.status["save_s"]))


def _cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used, all its threads."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _program(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-m", *arguments])
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(_PATIENCE_S)
        finally:
            process.kill()


class _Operator(Node):
    def __init__(self, **node_args: Any) -> None:
        super().__init__("operator", **node_args)
        self.status: dict[str, str] = {}
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self)
        self._requests = {name: self.create_client(Trigger, f"record/{name}") for name in ("start", "stop")}
        self.create_subscription(DiagnosticArray, "diagnostics", self._on_diagnostics, EVENT)

    def _on_diagnostics(self, array: DiagnosticArray) -> None:
        status = find_status(array, "wam/recorder")
        if status is not None:
            self.status = read_values(status)

    def call(self, name: str) -> None:
        """Ask the recorder for something, and insist."""
        future = self._requests[name].call_async(Trigger.Request())
        self.until(future.done)
        if not future.result().success:
            raise RunError(f"bench recorder: {future.result().message}")

    def until(self, condition: Any) -> None:
        """Wait for a condition."""
        end_s = monotonic() + _PATIENCE_S
        while not condition():
            self._executor.spin_once(timeout_sec=0.02)
            if monotonic() > end_s:
                raise RunError(f"bench recorder: nothing more happens; the recorder says {self.status}")

    def spin_for(self, seconds: float) -> None:
        """Let time pass."""
        end_s = monotonic() + seconds
        while monotonic() < end_s:
            self._executor.spin_once(timeout_sec=0.1)


@contextmanager
def _operator() -> Iterator[_Operator]:
    context = rclpy.Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = _Operator(context=context)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown(context=context)


# -- what came of it -----------------------------------------------------------------------------


def _counts(recording: Recording, said: dict[str, list[int]], robot: Robot) -> dict[str, float | str]:
    """Hold what was said during the episode against what is written, camera by camera."""
    stamps = recording.values("stamp_ns")
    capture_us = np.rint(recording.values("capture_time") * 1e6).astype(np.int64)  # float64 holds microseconds
    ledger = recording.described.ledger
    heard = [ledger["streams"][camera.name] for camera in robot.cameras]
    frames_in = written = 0
    for column, (camera, of) in enumerate(zip(robot.cameras, heard, strict=True)):
        sent = np.array(said[camera.name])
        inside = sent[(sent >= of["first_ns"]) & (sent <= of["last_ns"])]
        frames_in += len(inside)
        away_us = np.abs(np.rint(inside / 1e3)[:, None] - capture_us[None, :, column]).min(axis=1)
        written += int((away_us <= 2).sum())
    leading = np.array(said[robot.leader_camera])
    rows_expected = int(((leading >= stamps[0]) & (leading <= stamps[-1])).sum())
    return {
        "frames_in": frames_in,
        "frames_received": sum(of["count"] for of in heard),
        "frames_written": written,
        "frames_lost_by_ledger": sum(of["lost"] for of in heard),
        "rows_expected": rows_expected,
        "rows_written": len(recording),
        "rows_filled": ledger["rows_filled"],
        "pictures_repeated": ledger["pictures_repeated"],
        "worst_skew_ms": 1e3 * max(ledger["streams"][camera.name]["worst_skew_s"] for camera in robot.cameras),
    }


# -- the floor -----------------------------------------------------------------------------------


def _bare_loop(folder: Path, layout: EpisodeLayout, color: Codec) -> float:
    """CPU seconds that encoding the pictures of one row takes, and nothing else."""
    codecs = {"color": color, "depth": DEPTH, "depth_archive": DEPTH_ARCHIVE}
    journals, reels = [], []
    for number, stream in enumerate(layout.streams):
        journals.append(VideoJournal(folder / f"{number}.mkv", codecs[stream.kind], HEIGHT, WIDTH, FPS))
        reels.append(cycle(list(_pictures(stream.kind, number))))
    began_s = process_time()
    for pictures in islice(zip(*reels, strict=True), _BARE_FRAMES):
        for journal, picture in zip(journals, pictures, strict=True):
            journal.append(picture)
    for journal in journals:
        journal.close()
    return (process_time() - began_s) / _BARE_FRAMES


def _pictures(kind: str, seed: int) -> Iterator[NDArray[Any]]:
    if kind == "color":
        yield from film(HEIGHT, WIDTH, seed)
    else:
        for depth_mm in depths(HEIGHT, WIDTH, 0):
            yield to_codes(depth_mm) if kind == "depth" else depth_mm
