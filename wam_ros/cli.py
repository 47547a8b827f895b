# SPDX-License-Identifier: Apache-2.0
"""The command line ``wam``. Errors end here: one sentence and an exit code, never a traceback.

Heavy imports wait in the commands that need them, so that ``wam node`` and ``wam list`` start at once.
"""

from __future__ import annotations

import argparse
import importlib
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

from wam_ros import __version__, evaluate, replay, train
from wam_ros.bench import BENCHES
from wam_ros.collect import command as recording
from wam_ros.core.board import Kind
from wam_ros.core.errors import ConfigError, WamError, mismatch
from wam_ros.core.requirements import told
from wam_ros.graph import PROGRAMS, TELEOP_SOURCES, RunOptions
from wam_ros.training import conversion

OK, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130
Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 success, 1 the task failed, 2 something the user can correct, 130 interrupted.
    """
    options = parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except KeyboardInterrupt:
        print("wam: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (WamError, ImportError) as error:
        print(f"wam: {told(error)}", file=sys.stderr)
        return MISTAKE


def parser() -> argparse.ArgumentParser:
    """Return the parser; each command sets ``command`` to its function."""
    top = argparse.ArgumentParser(prog="wam", description="Put a World Action Model on a robot.")
    top.add_argument("--version", action="version", version=f"wam_ros {__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Command, text: str, **keywords: Any) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text, **keywords)
        sub.set_defaults(command=command)
        return sub

    _add_run(add("run", _run, "run a task and write summary.json, report.html and video.mp4"))
    bench = add("bench", _bench, "measure one part and print its figures")
    bench.add_argument("name", help=f"one of {', '.join(BENCHES)}")
    bench.add_argument("rest", nargs=argparse.REMAINDER, help="--json FILE, --help for what this bench takes")
    add("list", _list, "show robots, tasks, policies, nodes and benches")
    check = add("check", _check, "check a robot, task, policy, checkpoint or dataset, and what it names")
    check.add_argument("kind", choices=["robot", "task", "policy", "checkpoint", "dataset"])
    check.add_argument("name", help="name or path of a YAML file; folder of a checkpoint or dataset")
    check.add_argument("--robot", default="", help="a dataset must be this robot's: its rate, joints and cameras")
    check.add_argument("--deep", action="store_true", help="decode every picture of a dataset")
    conversion.add_arguments(add("convert", _convert, "make a checkpoint folder of released weights"))
    recording.add_arguments(add("record", _record, "record demonstrations from the simulated robot into a dataset"))
    evaluate.add_arguments(add("eval", evaluate.command, "try a policy many times, or two until one is better"))
    replay.add_arguments(add("replay", replay.command, "a recorded episode as live topics, or asked to a policy"))
    train.add_arguments(add("train", _train, "train a model from a YAML; started again, it goes on"))
    _add_calibrate(add("calibrate", _calibrate, "find where cameras and arms are, and how sure that is; print a board"))
    doctor = add("doctor", _doctor, "say what is missing on this computer, or at a robot, and the line that cures it")
    doctor.add_argument("--robot", default="", help="look at this running robot instead: name or YAML path")
    doctor.add_argument("--listen", type=float, default=5.0, metavar="S", help="for so many seconds (default: 5)")
    node = add("node", _node, "run one node in this process, as ros2 run does")
    node.add_argument("name", help="a module below wam_ros.nodes")
    node.add_argument("ros", nargs=argparse.REMAINDER, help="--ros-args ...")
    return top


def _add_run(run: argparse.ArgumentParser) -> None:
    run.add_argument("task", help="name or YAML path")
    run.add_argument("--robot", default="", help="name or YAML path (default: the task's)")
    run.add_argument("--policy", default="", help="name or YAML path (default: the task's)")
    run.add_argument("--episodes", type=int, default=1, help="attempts to make (default: 1)")
    run.add_argument("--seed", type=int, default=0, help="of the first attempt (default: 0)")
    run.add_argument("--pace", choices=["realtime", "lockstep"], default="realtime", help="of a simulated robot")
    run.add_argument(
        "--randomise", action="store_true", help="colours, light, cameras, friction of each attempt's twin"
    )
    run.add_argument("--disturb", action="store_true", help="push the workpiece and let one grip of each attempt slip")
    run.add_argument("--double", action="store_true", help="start the double of a real robot's driver, in the scene")
    run.add_argument("--latency-ms", type=float, help="declared inference latency (default: 190 in lockstep)")
    run.add_argument("--imagine", action="store_true", help="show what the policy imagines, and how wrong it was")
    run.add_argument("--calibration", type=Path, metavar="FILE", help="of the robot, instead of the one its file names")
    run.add_argument("--teleop", default="", choices=TELEOP_SOURCES, help="what a person may take over with")
    run.add_argument("--drift", action="store_true", help="warn when a camera or an arm's base has moved; needs depth")
    run.add_argument("--record", default="", metavar="DATASET", help="each attempt is recorded into this dataset")
    shown = run.add_mutually_exclusive_group()
    shown.add_argument("--headless", action="store_true", help="open no page (the default)")
    shown.add_argument("--view", action="store_true", help="show the run in the browser")
    shown.add_argument("--console", action="store_true", help="show it with the operator's buttons")
    run.add_argument("--rviz", action="store_true", help="start rviz2 beside it, where ROS has it")
    run.add_argument("--out", type=Path, help="new folder for the results (default: runs/TASK-TIME)")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in task.method=c2")


def _add_calibrate(calibrate: argparse.ArgumentParser) -> None:
    calibrate.add_argument(
        "what",
        nargs="?",
        choices=["robot", "board", "captures", "intrinsics", "samples", "show", "clouds", "latency", "clock"],
        default="robot",
        help="robot: capture, solve, verify, save (default); board: write it as PDF; captures: solve pictures and "
        "joints that a file lists; intrinsics: find how a camera sees from a folder of its pictures; samples: solve a file of "
        "easy_handeye2; show: say what a file holds; clouds: how a twin's clouds agree with it; latency: how late devices are, "
        "from a recorded dataset; clock: the page with which cameras are timed",
    )
    calibrate.add_argument("file", nargs="?", type=Path, help="that these read; folder of pictures for intrinsics")
    calibrate.add_argument("--robot", default="", help="name or YAML path")
    calibrate.add_argument("--auto", action="store_true", help="a simulated robot before its board, without ROS")
    _add_live(calibrate.add_argument_group("on the running robot, over ROS"))
    calibrate.add_argument("--poses", type=int, default=15, help="of each camera that an arm carries (default: 15)")
    calibrate.add_argument("--seed", type=int, default=0, help="of views and simulated errors (default: 0)")
    calibrate.add_argument("--kind", default="charuco", choices=get_args(Kind), help="of board (default: charuco)")
    calibrate.add_argument("--squares", help="columns x rows of squares, or of tags (default: the kind's; 11x8)")
    calibrate.add_argument("--square-mm", type=float, help="side of a square, or tag to tag (default: the kind's; 20)")
    calibrate.add_argument("--marker-mm", type=float, help="side of a marker or tag (default: the kind's; 15)")
    calibrate.add_argument("--dictionary", default="", help="of the markers (default: the kind's; 6x6_250)")
    calibrate.add_argument("--picture-height", type=int, default=960, help="of simulated pictures (default: 960)")
    calibrate.add_argument("--stated", type=Path, help="camera_info file that intrinsics checks")
    late = calibrate.add_argument_group("latency")
    late.add_argument("--episode", type=int, default=0, help="of the dataset (default: 0)")
    late.add_argument("--seconds", type=float, default=20.0, help="of a twin's motion, with --auto (default: 20)")
    late.add_argument(
        "--late-ms", type=float, default=0.0, help="make a twin's commands and stamps so late (default: 0)"
    )
    calibrate.add_argument("--beside", action="store_true", help="samples of a camera beside the robot (eye on base)")
    calibrate.add_argument("--out", type=Path, help="file to write (default: board.pdf, or calibration-ROBOT.yaml)")


def _add_live(live: argparse._ArgumentGroup) -> None:
    live.add_argument("--live", action="store_true", help="start the graph, and be led through it in the terminal")
    live.add_argument(
        "--move", default="hand", choices=["hand", "teleop", "drive"], help="how the arms get about (default: hand)"
    )
    live.add_argument("--teleop", default="", choices=["leader", "gamepad", "keyboard"], help="with --move teleop")
    live.add_argument(
        "--speed", type=float, default=0.15, help="share of the robot's limits when driving (default: 0.15)"
    )
    live.add_argument("--yes", action="store_true", help="do not ask before driving")
    live.add_argument("--task", default="", help="name or YAML path: its workspace is kept to (default: a wide one)")
    live.add_argument("--serials", default="", help="of the cameras, as in left_wrist=0815,head=0816")
    live.add_argument("--pace", default="realtime", choices=["realtime", "lockstep"], help="of a simulated robot")
    live.add_argument("--folder", type=Path, help="new folder for logs (default: runs/calibration-TIME)")


def _run(options: argparse.Namespace) -> int:
    from rich.console import Console

    from wam_ros.run import calibrated, play, prepare, show

    folder = options.out or Path("runs") / f"{Path(options.task).stem}-{datetime.now():%Y%m%d-%H%M%S}"
    same = ("robot", "policy", "seed", "pace", "randomise", "disturb", "double", "view", "console", "rviz", "imagine")
    latency_s = None if options.latency_ms is None else options.latency_ms / 1000
    given = {name: getattr(options, name) for name in (*same, "teleop", "drift", "record")}
    wished = RunOptions(options.task, declared_latency_s=latency_s, **given)
    plan = prepare(wished, [*options.set, *calibrated(options.calibration)], options.episodes, folder)
    console = Console(highlight=False)
    result = play(plan, options.episodes, folder, console)
    show(result, console)
    return result.exit_code


def _bench(options: argparse.Namespace) -> int:
    names = [name for name, module in BENCHES.items() if find_spec(module)]
    sub = argparse.ArgumentParser(prog=f"wam bench {options.name}")
    sub.add_argument("--json", type=Path, metavar="FILE", help="write the figures as flat key: number pairs")
    if options.name not in names:
        raise ConfigError(mismatch("bench", ", ".join(names), options.name, "choose one of them"))
    module = importlib.import_module(BENCHES[options.name])
    if hasattr(module, "add_arguments"):
        module.add_arguments(sub)
    given = sub.parse_args(options.rest)
    figures = module.run(given)
    _show_figures(options.name, figures)
    if given.json:
        _write(given.json, json.dumps(figures, indent=1) + "\n")
    return OK


def _show_figures(title: str, figures: Mapping[str, float | str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("key", "value", title=f"wam bench {title}", title_justify="left")
    table.columns[1].justify = "right"
    for key, value in figures.items():
        table.add_row(key, value if isinstance(value, str) else f"{value:.5g}")
    Console(highlight=False).print(table)


def _list(_options: argparse.Namespace) -> int:
    from wam_ros.checks import show_list

    show_list({"nodes": _nodes(), "benches": [name for name, module in BENCHES.items() if find_spec(module)]})
    return OK


def _check(options: argparse.Namespace) -> int:
    if options.kind == "checkpoint":
        print("\n".join(conversion.check_checkpoint(Path(options.name))))
        return OK
    from wam_ros.checks import check, check_dataset

    if options.kind == "dataset":
        print("\n".join(check_dataset(Path(options.name), options.robot, deep=options.deep)))
        return OK
    print("\n".join(check(options.kind, options.name)))
    return OK


def _convert(options: argparse.Namespace) -> int:
    print("\n".join(conversion.convert(options)))
    return OK


def _record(options: argparse.Namespace) -> int:
    from wam_ros.run import Interrupts

    with Interrupts():
        print("\n".join(recording.collect(options)))
    return OK


def _train(options: argparse.Namespace) -> int:
    print(train.learn(options))
    return OK


def _calibrate(options: argparse.Namespace) -> int:
    from wam_ros.calibrate import command

    for line in command(options):
        print(line)
    return OK


def _doctor(options: argparse.Namespace) -> int:
    from wam_ros.doctor import examine, examine_robot, show

    findings = examine_robot(options.robot, options.listen) if options.robot else examine()
    show(findings)
    return OK if all(finding.ok for finding in findings) else FAILED


def _node(options: argparse.Namespace) -> int:
    # A process started in the background by a shell has SIGINT ignored; nodes are ended by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if options.name.startswith("double_"):  # of the robot of that name
        options.name, robot = "double", options.name.removeprefix("double_")
        sys.argv[1:] = [*(options.ros or ["--ros-args"]), "-p", f"robot:={robot}"]
    if options.name not in _nodes():
        known = ", ".join((*_nodes(), "double_ROBOT"))
        raise ConfigError(mismatch("node", known, options.name, "choose one of them"))
    return int(importlib.import_module(f"wam_ros.nodes.{options.name}").main() or OK)


def _nodes() -> list[str]:
    return [name for name in PROGRAMS if find_spec(f"wam_ros.nodes.{name}")]


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another place") from error
