# SPDX-License-Identifier: Apache-2.0
"""``wam record --sim``: demonstrations from the simulated twin into a dataset, with a count of what came of them."""

from __future__ import annotations

import argparse
import resource
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.files.assets import load_task
from wam_ros.files.folders import require_place

if TYPE_CHECKING:
    from wam_ros.collect.recording import Made


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wam record``."""
    add = parser.add_argument
    add("--sim", action="store_true", help="demonstrations of the scripted expert on the simulated robot")
    add("--task", required=True, help="name or YAML path")
    add("--robot", default="", help="name or YAML path (default: the task's)")
    add("--policy", default="", help="whose views and rate are recorded (default: the task's learner)")
    add("--expert", default="expert", help="who demonstrates (default: expert)")
    add("--episodes", type=int, default=1, help="demonstrations to make, failed ones included (default: 1)")
    add("--workers", type=int, default=1, help="processes that simulate (default: 1)")
    add("--seed", type=int, default=0, help="of the first demonstration (default: 0)")
    add("--out", type=Path, required=True, help="dataset: a new folder, or one to go on with")
    share = {"type": float, "metavar": "SHARE"}
    add(
        "--randomise",
        nargs="?",
        const=1.0,
        default=0.0,
        help="share with colours, light, cameras, friction drawn (alone: all; default: none)",
        **share,  # type: ignore[arg-type]
    )
    add("--recoveries", default=0.15, help="share in which a grasp fails and is made again (default: 0.15)", **share)  # type: ignore[arg-type]
    add("--nudges", default=0.1, help="share in which the workpiece is pushed (default: 0.1)", **share)  # type: ignore[arg-type]
    add("--takeovers", default=0.0, help="share that the policy begins, until it needs help (default: none)", **share)  # type: ignore[arg-type]
    add("--noise-rad", type=float, default=0.01, help="how far the executed motion strays (default: 0.01)")
    add("--sway-rad", type=float, default=0.0, help="how far an arm with an empty hand strays besides (default: 0)")
    add("--depth", action="store_true", help="also the views' depth, in 12 bits")
    add("--keep-failures", action="store_true", help="write failed ones too, marked; else they are only counted")


def collect(options: argparse.Namespace) -> list[str]:
    """Make the demonstrations; returns what came of them, a line each.

    Raises:
        WamError: what does not fit, and the remedy.
    """
    if not options.sim:
        raise ConfigError("record: expected --sim, got a real robot; there, run the node: wam node recorder")
    require_place(options.out)
    from rich.progress import Progress

    from wam_ros.collect.demonstration import Variety
    from wam_ros.collect.recording import Wanted, record

    varied = ("recoveries", "nudges", "noise_rad", "sway_rad", "depth", "takeovers")
    variety = Variety(options.randomise, **{name: getattr(options, name) for name in varied})
    names = {name: getattr(options, name) for name in ("task", "robot", "expert")}
    names["policy"] = options.policy or _learner(options.task)
    counts = {name: getattr(options, name) for name in ("episodes", "seed", "workers", "keep_failures")}
    begun_s, begun_core_s = monotonic(), _core_s()
    made: list[Made] = []
    with Progress(transient=True) as bar:
        task = bar.add_task("recording", total=options.episodes)
        for one in record(Wanted(**names, **counts, variety=variety), options.out):
            made.append(one)
            good = sum(m.success for m in made if not m.unaided)
            bar.update(task, advance=1, description=f"{good} of {len(made)} succeeded")
    rate, of_core = (3600 * len(made) / spent_s for spent_s in (monotonic() - begun_s, _core_s() - begun_core_s))
    written = sum(m.kept for m in made)
    line = f"{options.out}: {written} episodes written, {rate:.0f} made an hour, {of_core:.0f} an hour of one core"
    return [line, *not_written(made, marked=options.keep_failures)]


def not_written(made: Sequence[Made], *, marked: bool) -> list[str]:
    """Return what became of the attempts that are no good examples, a line each.

    Args:
        made: all attempts.
        marked: failures are in the dataset, marked.
    """
    shown, lines = [m for m in made if not m.unaided], []
    if alone := len(made) - len(shown):
        lines.append(f"{alone} of {len(made)} are no demonstrations: the policy was not helped")
    fate = "marked as failures" if marked else "left out"
    failed = [m for m in shown if not m.success]
    return lines + ([f"{len(failed)} of {len(shown)} failed and were {fate}: {_seeds(failed)}"] if failed else [])


def _learner(task: str) -> str:
    """Return the policy that is to learn a task.

    Raises:
        ConfigError: nobody is.
    """
    learner = load_task(task).learner
    if not learner:
        remedy = "name one there, or with --policy whose views to record"
        raise ConfigError(mismatch(f"task {task}: learner", "a policy", "none", remedy))
    return learner


def _core_s() -> float:
    """Return the processor time of this process and of those that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _seeds(failed: Sequence[Made]) -> str:
    shown = ", ".join(f"{m.seed} ({m.why})" for m in failed[:5])
    return f"seeds {shown}{', ...' if len(failed) > 5 else ''}"
