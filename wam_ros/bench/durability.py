# SPDX-License-Identifier: Apache-2.0
"""``wam bench durability``: a recorder that is killed at random moments, and a disk that lost what was not synced.

A child process records short episodes. At a random moment, also while it closes one, it gets SIGKILL; then every
file that was still being written is cut at a random byte between what the disk had confirmed and what was written:
what a power cut may leave. The dataset is opened again, which recovers it, and held against what the child had said:
each closed episode must be whole, and of the open one at most the last second may be missing.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from wam_ros.core.episode import ACTION, EpisodeLayout, layout_of
from wam_ros.core.errors import RunError
from wam_ros.core.robot import Robot
from wam_ros.files.archive import Message
from wam_ros.files.assets import load_robot, twins
from wam_ros.files.dataset.check import examine
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.files.dataset.disk import PART
from wam_ros.files.dataset.read import DatasetReader

HEIGHT, WIDTH, FPS = 60, 80, 30
#: Every dataset is looked through after each kill, so a long one is replaced.
MOST_EPISODES = 30
_LONGEST_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what this bench takes."""
    parser.add_argument("--kills", type=int, default=200, help="how often the recorder is killed (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the bytes (default: 0)")


@dataclass
class Told:
    """What a child had said before it was killed.

    Attributes:
        closed: episode to its rows, of those that the recorder called closed.
        index, rows: the last episode that was begun, and the rows handed over to it.
        synced: file to its size when the disk last confirmed it.
    """

    closed: dict[int, int] = field(default_factory=dict)
    index: int = -1
    rows: int = 0
    synced: dict[str, int] = field(default_factory=dict)

    def hear(self, line: str) -> None:
        """Take a line; one that is not whole does not count."""
        word, *rest = line.split()
        if not line.endswith("\n"):
            return
        if word == "rows":
            self.index, self.rows = int(rest[0]), int(rest[1])
        elif word == "closed":
            self.closed[int(rest[0])] = int(rest[1])
        elif word == "synced":
            self.synced[rest[0]] = int(rest[1])


def run(options: argparse.Namespace) -> dict[str, float | str]:
    """Kill recorders and count what was lost."""
    rng = np.random.default_rng(options.seed)
    folder = Path(tempfile.mkdtemp(prefix="wam_durability_"))
    lost, lost_s, recoveries_s, closing = 0, [0.0], [0.0], 0
    try:
        for _ in range(options.kills):
            told = _record_until_killed(folder / "set", rng.uniform(0.5, 3.0))
            _cut(folder / "set", told, rng)
            closing += any((folder / "set").rglob(f"*{PART}"))
            began_s = perf_counter()
            episodes = _reopen(folder / "set")
            recoveries_s.append(perf_counter() - began_s)
            lost += sum(episodes.get(index) != length for index, length in told.closed.items())
            lost_s.append(_lost_s(told, episodes))
            if len(episodes) > MOST_EPISODES:
                shutil.rmtree(folder / "set")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {
        "kills": options.kills,
        "kills_while_closing": closing,
        "closed_episodes_lost": lost,
        "open_episode_lost_s_max": max(lost_s),
        "open_episode_lost_s_p50": float(np.median(lost_s)),
        "recovery_s_max": max(recoveries_s),
        "recovery_s_p50": float(np.median(recoveries_s)),
    }


def _lost_s(told: Told, episodes: dict[int, int]) -> float:
    """Seconds of the open episode that are gone: rows handed over and not found again."""
    if told.index < 0 or told.index in told.closed:
        return 0.0
    return max(0, told.rows - episodes.get(told.index, 0)) / FPS


def _record_until_killed(root: Path, after_s: float) -> Told:
    child = subprocess.Popen(
        [sys.executable, "-m", __name__, str(root)], stdout=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL
    )
    assert child.stdout is not None
    told = Told()
    lines = iter(child.stdout)
    if not any(line == "ready\n" for line in lines):
        raise RunError("bench durability: the recorder did not start; its error is above")
    began_s = perf_counter()
    for line in lines:
        told.hear(line)
        if perf_counter() - began_s > after_s:
            break
    child.kill()
    for line in lines:  # said before it died, not yet heard
        told.hear(line)
    child.wait(_LONGEST_S)
    return told


def _cut(root: Path, told: Told, rng: np.random.Generator) -> None:
    """Take from each file that was being written some of what the disk had not confirmed."""
    confirmed = _confirmed(told)
    for path in [*root.glob("open/[0-9]*/*"), *root.rglob(f"*{PART}")]:
        if path.is_file() and rng.random() < 0.5:
            size = path.stat().st_size
            safe = min(size, confirmed.get(path.stat().st_ino, 0))
            with path.open("rb+") as file:
                file.truncate(int(rng.integers(safe, size + 1)))


def _confirmed(told: Told) -> dict[int, int]:
    """Return the confirmed sizes by files' numbers: one file may have two names, and loses its first by a rename."""
    found: dict[int, int] = {}
    for name, size in told.synced.items():
        for path in {Path(name), Path(name.removesuffix(PART))}:
            if path.is_file():
                number = path.stat().st_ino
                found[number] = max(size, found.get(number, 0))
    return found


def _reopen(root: Path) -> dict[int, int]:
    robot, layout = _cell()
    dataset = Dataset(root, layout, robot)
    dataset.release()
    found = examine(root, layout)
    if found.problems:
        raise RunError(f"bench durability: after recovery: {found.problems[0]}")
    for recording in DatasetReader(root):
        marks = recording.values("stamp_ns")
        if not np.array_equal(recording.values(ACTION)[:, 0], np.float32(marks % 10**9)):
            raise RunError(f"bench durability: episode {recording.described.index} holds other values than written")
    return {episode.index: episode.length for episode in dataset.episodes}


def _cell() -> tuple[Robot, EpisodeLayout]:
    robot = load_robot(twins()[0])
    cameras = tuple(replace(c, height=HEIGHT, width=WIDTH, rate_hz=float(FPS)) for c in robot.cameras[:2])
    robot = replace(robot, cameras=cameras, leader_camera=cameras[0].name)
    return robot, layout_of(robot, depth=False, archive_depth=True)


# -- the recorder that is killed ---------------------------------------------------------------


def record_for_ever(root: Path) -> None:
    """Record episodes of a second or so, in real time, and tell what was done; ends by being killed."""
    _tell_syncs()
    robot, layout = _cell()
    dataset = Dataset(root, layout, robot)
    _tell("ready")
    for length in cycle((FPS, FPS // 2, 2 * FPS)):
        episode = dataset.begin(room=10 * FPS)
        for row in range(length):
            _wait_for(1.0 / FPS)
            episode.append(*_row(layout, row))
            _tell(f"rows {episode.index} {episode.rows}")
            episode.keep(Message("/joint_states", "sensor_msgs/msg/JointState", bytes(400), row))
        closed = dataset.close(episode)
        if closed is not None:
            _tell(f"closed {closed.index} {closed.length}")


def _row(layout: EpisodeLayout, row: int) -> tuple[dict[str, Any], dict[str, Any]]:
    values: dict[str, Any] = {}
    mark_ns = 10**18 + 1000 * row
    for column in layout.columns:
        text = column.dtype == "string"
        values[column.key] = "" if text else [float(mark_ns % 10**9)] * max(len(column.names), 1)
    values |= {"stamp_ns": mark_ns, "instruction": "none"}
    color = np.full((HEIGHT, WIDTH, 3), row % 200, np.uint8)
    depth_m = np.full((HEIGHT, WIDTH), 1 + row / 100, np.float32)
    return values, {s.key: color if s.kind == "color" else depth_m for s in layout.streams}


def _wait_for(period_s: float) -> None:
    select.select([], [], [], period_s)


def _tell(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # one write is one whole line, from any thread


def _tell_syncs() -> None:
    """Tell of each file how much of it the disk has confirmed."""
    sync = os.fsync

    def telling(descriptor: int) -> None:
        size = os.fstat(descriptor).st_size
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        sync(descriptor)
        _tell(f"synced {path} {size}")

    os.fsync = telling  # type: ignore[assignment]


if __name__ == "__main__":
    record_for_ever(Path(sys.argv[1]))
