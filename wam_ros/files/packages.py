# SPDX-License-Identifier: Apache-2.0
"""Programs of other ROS packages, found through the ament index of the workspaces that are sourced."""

from __future__ import annotations

from pathlib import Path

from wam_ros.core.errors import MissingDependencyError, mismatch


def program(package: str, name: str) -> Path:
    """Return a program of an installed ROS package.

    Raises:
        MissingDependencyError: no sourced workspace has it.
    """
    try:
        from ament_index_python.packages import PackageNotFoundError, get_package_prefix
    except ImportError as error:
        raise _missing(package) from error
    try:
        found = Path(get_package_prefix(package)) / "lib" / package / name
    except (OSError, PackageNotFoundError) as error:  # the latter where nothing at all is sourced
        raise _missing(package) from error
    if not found.is_file():
        raise _missing(package)
    return found


def has_program(package: str, name: str) -> bool:
    """Say whether :func:`program` would find it."""
    try:
        program(package, name)
    except MissingDependencyError:
        return False
    return True


def _missing(package: str) -> MissingDependencyError:
    cure = (
        f"sudo apt-get install ros-$ROS_DISTRO-{package.replace('_', '-')}, then source /opt/ros/$ROS_DISTRO/setup.bash"
    )
    return MissingDependencyError(mismatch("ROS package", package, "none in the workspaces sourced here", cure))
