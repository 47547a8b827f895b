# SPDX-License-Identifier: Apache-2.0
"""The versions that a result depends on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from wam_ros import __version__
from wam_ros.files.identity import code_sha256

PACKAGES = ("numpy", "rclpy", "mujoco", "torch", "pin", "ruckig")


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    found = {"wam_ros": __version__, "wam_ros_code_sha256": code_sha256(), "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
