# SPDX-License-Identifier: Apache-2.0
"""What the graph adds to a model's time, and whether commands keep their pace while a model computes.

The real policy, motion and safety processes, a synthetic robot (three 320x240 cameras at 15 Hz, 10 ms apart,
joints at 200 Hz) and a model that is nothing but time. Overhead: from the publishing of the last message that an
observation needs (so that its transport counts too) until motion has accepted the chunk, less the time
inside the model. Motion's periods are taken while the model computes without a pause on one thread; the
floor is the same node in the same run while the model only sleeps.
"""

from __future__ import annotations

import json
import os
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml

from wam_ros.bench.bystander import PATIENT, bystander_of, program, set_environment
from wam_ros.bench.listening import compare
from wam_ros.core.errors import RunError
from wam_ros.core.policy import Option
from wam_ros.core.types import FloatArray
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.files.load import to_data
from wam_ros.graph import NodeSpec, RunOptions, build_graph
from wam_ros.runner import Runner

TASK, POLICY = "towel_fold", "hold"
MODEL = "wam_ros.bench.stopwatch:TimedHold"
# An accepted chunk further from every stamp was made of a frame that the stopwatches did not see.
BESIDE_NS = 20_000_000


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this bench takes."""
    parser.add_argument("--seconds", type=float, default=20.0, help="measured time of each part (default: 20)")
    parser.add_argument("--model-ms", type=float, default=30.0, help="time inside the model (default: 30)")


def run(options: Namespace) -> dict[str, float | str]:
    """Return the keys of the bench ``runtime``."""
    sleeping = measure(options.seconds, options.model_ms / 1e3, compute=False)
    computing = measure(options.seconds, 0.4, compute=True)
    listening = measure_listening(min(options.seconds, 5.0))
    nominal_ms = 1e3 / load_robot(load_task(TASK).default_robot).command_rate_hz
    p50, p99 = np.percentile(computing.periods_ms, [50, 99])
    return {
        "overhead_ms_p50": float(np.percentile(sleeping.overheads_ms, 50)),
        "overhead_ms_p99": float(np.percentile(sleeping.overheads_ms, 99)),
        "overhead_ms_max": float(sleeping.overheads_ms.max()),
        "chunks": float(len(sleeping.overheads_ms)),
        "chunks_accepted": float(len(sleeping.overheads_ms) / sleeping.inferences),
        "motion_period_ms_p50": float(p50),
        "motion_period_ms_p99": float(p99),
        "motion_period_ms_max": float(computing.periods_ms.max()),
        "motion_period_ms_p99_floor": float(np.percentile(sleeping.periods_ms, 99)),
        "motion_period_p99_ratio": float(p99 / nominal_ms),
        "model_share_of_core": computing.model_share,
        **listening,
    }


@dataclass(frozen=True)
class Measured:
    """What one run of the graph gave.

    Attributes:
        overheads_ms: (N,) of each chunk that motion accepted.
        periods_ms: (M,) between motion's ticks.
        inferences: chunks the model made in the measured time.
        model_share: share of the time that passed inside the model.
    """

    overheads_ms: FloatArray
    periods_ms: FloatArray
    inferences: int
    model_share: float


def measure(seconds: float, model_s: float, *, compute: bool) -> Measured:
    """Run the graph with a model that sleeps or computes, and read its stopwatches.

    Raises:
        RunError: a process ended, or no chunk was accepted.
    """
    set_environment()
    with tempfile.TemporaryDirectory(prefix="wam_bench_") as name:
        folder = Path(name)
        begin_ns, end_ns = _run_graph(folder, seconds, _policy_file(folder, model_s, compute))
        return _read(folder, begin_ns, end_ns)


def measure_listening(seconds: float) -> dict[str, float | str]:
    """Return what hearing the synthetic robot costs a process."""
    set_environment()
    name = load_task(TASK).default_robot
    with (
        tempfile.TemporaryDirectory(prefix="wam_bench_") as folder,
        program("wam_ros.bench.synthetic_robot", _driver(name), Path(folder)),
    ):
        return compare(replace(load_robot(name), simulated=False), seconds)


def _driver(robot: str) -> NodeSpec:
    return NodeSpec("synthetic_robot", "", {"robot": robot})


def _policy_file(folder: Path, model_s: float, compute: bool) -> str:
    """Write a policy that infers from every frame, if the model is quick enough."""
    settings: dict[str, Option] = {"model_s": model_s, "compute": compute, "log": str(folder / "model.json")}
    policy = replace(load_policy(POLICY), backend=MODEL, execute_rows=1, options=settings)
    path = folder / "policy.yaml"
    path.write_text(yaml.safe_dump(to_data(policy)))
    return str(path)


def _run_graph(folder: Path, seconds: float, policy_path: str) -> tuple[int, int]:
    """Play the graph; return the begin and the end of the measured time."""
    task = load_task(TASK)
    robot = replace(load_robot(task.default_robot), simulated=False)  # a driver of our own, on the wall clock
    options = RunOptions(TASK, robot=task.default_robot, policy=policy_path, params=PATIENT)
    specs = {s.name: s for s in build_graph(robot, task, load_policy(policy_path), options)}
    with ExitStack() as stack:
        runner = stack.enter_context(Runner([specs["policy"], specs["safety"]], folder, os.environ))
        stack.enter_context(program("wam_ros.bench.synthetic_robot", _driver(task.default_robot), folder))
        stack.enter_context(program("wam_ros.bench.stopwatch", specs["motion"], folder))
        return stack.enter_context(bystander_of(runner)).armed_for(seconds)


def _read(folder: Path, begin_ns: int, end_ns: int) -> Measured:
    published = _times(json.loads((folder / "synthetic_robot.json").read_text()))
    # The worker rehearses with pictures that nobody has published.
    took = {k: v for k, v in _times(json.loads((folder / "model.json").read_text())).items() if k in published}
    motion = json.loads((folder / "motion.json").read_text())
    accepted = _times(motion["accepted"])
    stamps = np.array(sorted(took))
    overheads, inside = [], 0
    for control_ns, accepted_ns in accepted.items():
        # Motion counts in control time, which may lie a moment beside the stamp.
        stamp_ns = int(stamps[np.abs(stamps - control_ns).argmin()])
        if abs(stamp_ns - control_ns) < BESIDE_NS and begin_ns <= accepted_ns <= end_ns:
            overheads.append((accepted_ns - published[stamp_ns] - took[stamp_ns]) / 1e6)
    if not overheads:
        raise RunError("bench runtime: motion accepted no chunk; run it on an idle machine")
    measured = [s for s in took if begin_ns <= published[s] + took[s] <= end_ns]
    inside = sum(took[s] for s in measured)
    ticks = np.array([t for t in motion["ticks"] if begin_ns <= t <= end_ns])
    return Measured(np.array(overheads), np.diff(ticks) / 1e6, len(measured), inside / (end_ns - begin_ns))


def _times(data: Mapping[str, int]) -> dict[int, int]:
    return {int(key): value for key, value in data.items()}
