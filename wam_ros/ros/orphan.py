# SPDX-License-Identifier: Apache-2.0
"""No node outlives what started it, not even after ``kill -9`` of the runner or SIGTERM to ``ros2 launch``."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from pathlib import Path

#: Environment variable with the process that started the graph.
RUNNER_PID = "WAM_RUNNER_PID"
_PR_SET_PDEATHSIG = 1


def end_with_runner() -> None:
    """Have the kernel send SIGTERM to this process when its runner dies.

    Does nothing in a process without a runner, or off Linux.

    Raises:
        KeyboardInterrupt: the runner is gone already.
    """
    runner = int(os.environ.get(RUNNER_PID, "0"))
    if not runner or not sys.platform.startswith("linux"):
        return
    if os.getppid() == runner:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # It may have died between its fork and this line.
    if not Path(f"/proc/{runner}").exists():
        raise KeyboardInterrupt
