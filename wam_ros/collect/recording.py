# SPDX-License-Identifier: Apache-2.0
"""Many demonstrations, made by several processes and written into one dataset in the order of their seeds."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from multiprocessing import connection
from pathlib import Path

from wam_ros.collect.demonstration import Demonstration, Demonstrator, Variety, demonstrator
from wam_ros.core.episode import EpisodeLayout, layout_of, values_of
from wam_ros.core.errors import BackendError, ConfigError, mismatch
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.files.dataset.dataset import Dataset
from wam_ros.files.dataset.tables import INSTRUCTION
from wam_ros.files.dataset.video import LOSSLESS
from wam_ros.policies.session import bound_threads

_AHEAD = 2  # demonstrations that each process may be ahead of the disk


@dataclass(frozen=True)
class Wanted:
    """Which demonstrations to make.

    Attributes:
        task: whose robot is used unless one is named; name or YAML path.
        policy: whose rate and views are recorded.
        expert: who demonstrates.
        episodes: how many, failed ones included.
        seed: of the first.
        workers: processes.
        keep_failures: also write failed ones, marked; else they are left out and counted.
    """

    task: str
    policy: str
    robot: str = ""
    expert: str = "expert"
    episodes: int = 1
    seed: int = 0
    workers: int = 1
    variety: Variety = field(default_factory=Variety)
    keep_failures: bool = False

    def __post_init__(self) -> None:
        if self.episodes < 1 or self.workers < 1:
            got = self.episodes, self.workers
            raise ConfigError(mismatch("record: episodes and workers", "at least 1", got, "give more"))


@dataclass(frozen=True)
class Made:
    """How one demonstration ended.

    Attributes:
        kept: it was written into the dataset.
        unaided: the policy led to the end; that is no demonstration, and neither written nor a failure of one.
    """

    seed: int
    success: bool
    kept: bool
    why: str
    unaided: bool = False


def record(wanted: Wanted, root: Path) -> Iterator[Made]:
    """Make demonstrations and write them; yields how each of them ended, in the order of seeds.

    Raises:
        ConfigError: names that do not fit, or a dataset of something else.
        DatasetError: the dataset is damaged or the disk is full.
        BackendError: a process ended by itself.
    """
    robot = load_robot(wanted.robot or load_task(wanted.task).default_robot)
    layout = layout_for(robot, load_policy(wanted.policy), depth=wanted.variety.depth)
    dataset = Dataset(root, layout, robot, LOSSLESS)
    try:
        for demonstration in _demonstrations(wanted, robot.name):
            kept = bool(demonstration.rows) and (demonstration.success or wanted.keep_failures)
            if kept:
                write(dataset, layout, robot, demonstration)
            yield Made(demonstration.seed, demonstration.success, kept, demonstration.why, demonstration.unaided)
    finally:
        dataset.release()


def layout_for(robot: Robot, policy: Policy, *, depth: bool = False) -> EpisodeLayout:
    """Return the layout of a dataset with the views of a policy's mosaic, in their cells' sizes, at its rate.

    Args:
        robot: who is recorded.
        policy: whose views and rate.
        depth: also the views' depth, in 12 bits.

    Raises:
        ConfigError: a rate that is no whole number, or a camera the robot has not.
    """
    if policy.rate_hz != round(policy.rate_hz):
        raise ConfigError(mismatch(f"policy {policy.name}: rate_hz", "a whole number", policy.rate_hz, "choose one"))
    cells = {cell.camera: cell for cell in policy.mosaic.cells}
    full = layout_of(robot, list(cells), depth=depth)
    streams = tuple(replace(s, height=cells[s.camera].height, width=cells[s.camera].width) for s in full.streams)
    return replace(full, fps=round(policy.rate_hz), streams=streams)


def write(dataset: Dataset, layout: EpisodeLayout, robot: Robot, demonstration: Demonstration) -> None:
    """Write a demonstration as the next episode."""
    episode = dataset.begin()
    for row in demonstration.rows:
        values = {**values_of(row, robot, layout.cameras), INSTRUCTION.key: row.instruction}
        pictures = {s.key: (row.colors if s.kind == "color" else row.depths)[s.camera] for s in layout.streams}
        episode.append(values, pictures, forced=True)
    ledger = {"seed": demonstration.seed, "demonstration": demonstration.why}
    success = "success" if demonstration.success else "failure"
    dataset.close(episode, success=success, ended=demonstration.why, ledger=ledger)


def _demonstrations(wanted: Wanted, robot: str) -> Iterator[Demonstration]:
    about = (wanted.robot or robot, wanted.task, wanted.policy, wanted.expert, wanted.variety)
    context = multiprocessing.get_context("spawn")  # renderers do not survive a fork
    seeds = iter(range(wanted.seed, wanted.seed + wanted.episodes))
    waiting: deque[Future[Demonstration]] = deque()
    pool = ProcessPoolExecutor(wanted.workers, context, _begin, about)
    try:
        for seed in seeds:
            waiting.append(pool.submit(_demonstrate, seed))
            if len(waiting) >= _AHEAD * wanted.workers:
                yield _result(waiting)
        while waiting:
            yield _result(waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def _result(waiting: deque[Future[Demonstration]]) -> Demonstration:
    try:
        return waiting.popleft().result()
    except BrokenProcessPool as error:
        raise BackendError("record: a process that demonstrates ended by itself; see what it said above") from error


# -- in the processes ----------------------------------------------------------------------

_demonstrate_seed: Callable[[int], Demonstration]
_OPEN = ExitStack()


def _begin(robot: str, task: str, policy: str, expert: str, variety: Variety) -> None:
    global _demonstrate_seed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends us, after what is under way
    threading.Thread(target=_end_with_parent, daemon=True).start()
    bound_threads(1)  # a policy's, if there is one; every processor has a demonstrator
    made: Demonstrator = _OPEN.enter_context(demonstrator(robot, task, policy, expert, variety))
    _demonstrate_seed = made.demonstrate


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _demonstrate(seed: int) -> Demonstration:
    return _demonstrate_seed(seed)
