# SPDX-License-Identifier: Apache-2.0
"""The library pyrealsense2, which not every computer has."""

from __future__ import annotations

import sys
from typing import Any

from wam_ros.core.errors import MissingDependencyError, mismatch

INSTALL = f"{sys.executable} -m pip install pyrealsense2==2.59.1.11053"
SYSTEM = "sudo apt-get install libusb-1.0-0"


def realsense() -> Any:
    """Return the module.

    Raises:
        MissingDependencyError: it is not installed, or lacks a system library.
    """
    try:
        import pyrealsense2
    except ModuleNotFoundError as error:
        what, expected, got = "RealSense cameras", "the Python package pyrealsense2", "none"
        raise MissingDependencyError(mismatch(what, expected, got, f"run: {INSTALL}")) from error
    except ImportError as error:
        what, expected = "RealSense cameras: pyrealsense2", "to find its system libraries"
        raise MissingDependencyError(mismatch(what, expected, error, f"run: {SYSTEM}")) from error
    return pyrealsense2
