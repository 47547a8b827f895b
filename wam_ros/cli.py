# SPDX-License-Identifier: Apache-2.0
"""The command line ``wam``. Errors end here: one sentence and an exit code, never a traceback."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import signal
import sys
from collections.abc import Sequence

import wam_ros.nodes
from wam_ros.core.errors import ConfigError, WamError, mismatch

OK, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 success, 1 the task failed, 2 a mistake the user can correct, 130 interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.command(options))
    except KeyboardInterrupt:
        return INTERRUPTED
    except WamError as error:
        print(f"wam: {error}", file=sys.stderr)
        return MISTAKE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="wam", description="Put a World Action Model on a robot.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    node = commands.add_parser("node", help="run one node in this process, as ros2 run does")
    node.add_argument("name", help="its module below wam_ros.nodes")
    node.add_argument("ros", nargs=argparse.REMAINDER, help="--ros-args ...")
    node.set_defaults(command=_node)
    return parser


def _node(options: argparse.Namespace) -> int:
    # A process started in the background by a shell has SIGINT ignored; nodes are ended by it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = sorted(module.name for module in pkgutil.iter_modules(wam_ros.nodes.__path__))
    if options.name not in names:
        raise ConfigError(mismatch("node", ", ".join(names), options.name, "choose one of them"))
    return int(importlib.import_module(f"wam_ros.nodes.{options.name}").main() or 0)


if __name__ == "__main__":
    sys.exit(main())
