# SPDX-License-Identifier: Apache-2.0
"""``wam calibrate --live``: a calibration on the running robot, over ROS, with a person at the terminal."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.prompt import Confirm

from wam_ros.calibration_graph import CalibrationOptions, plan_calibration, prepared
from wam_ros.core.board import Board
from wam_ros.core.errors import ConfigError
from wam_ros.environment import additions
from wam_ros.files.calibration import CalibrationFile, load
from wam_ros.run import Interrupts, require_new, terminal_name
from wam_ros.runner import Runner


def command(options: Namespace, board: Board, out: Path) -> CalibrationFile:
    """Start the graph, lead a person through a calibration on the running robot, and return the file that was saved.

    Raises:
        ConfigError: something does not fit, or the person does not want the arms to move.
        CalibrationError: no calibration that can be believed; nothing is saved.
        RunError: something never came, or the arms were stopped.
    """
    folder = options.folder or Path("runs") / f"calibration-{datetime.now():%Y%m%d-%H%M%S}"
    require_new(folder)
    wished = CalibrationOptions(
        robot=options.robot,
        task=options.task,
        board=board,
        move=options.move,
        teleop=options.teleop,
        poses=options.poses,
        seed=options.seed,
        speed_share=options.speed,
        serials=options.serials,
        out=str(out.resolve()),
        pace=options.pace,
        terminal=terminal_name() if options.teleop == "keyboard" else "",
    )
    plan = plan_calibration(prepared(wished, options.picture_height, folder / "config"))
    console = Console(highlight=False)
    if options.move == "drive" and not (options.yes or plan.robot.simulated):
        _confirm(options.speed, console)
    os.environ.update(additions(os.environ, simulated=plan.robot.simulated))
    from wam_ros.nodes.wizard import lead_through
    from wam_ros.ros.presence import require_free_domain

    by_keys = options.move != "drive" and options.teleop != "keyboard" and sys.stdin.isatty()
    with Interrupts(patient=True) as interrupts:
        require_free_domain([spec.name for spec in plan.specs])
        folder.mkdir(parents=True, exist_ok=True)
        with Runner(plan.specs, folder, os.environ) as runner:
            check = interrupts.before(runner.check)
            lead_through(plan.robot, options.move, console, check=check, by_keys=by_keys)
    return load(out)


def _confirm(share: float, console: Console) -> None:
    text = f"The arms will move by themselves at {share:.0%} of their limits. Is the space free, and the stop at hand?"
    if not Confirm.ask(text, console=console, default=False):
        raise ConfigError("calibrate: not confirmed; nothing has moved")
