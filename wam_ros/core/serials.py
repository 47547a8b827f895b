# SPDX-License-Identifier: Apache-2.0
"""Which device sits at which camera."""

from __future__ import annotations

from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.robot import Robot


def serials_of(robot: Robot, words: str) -> dict[str, str]:
    """Return camera to serial number: the robot file's, or that of words as in ``left_wrist=0815,head=0816``.

    It is empty where neither says one; a twin's cameras have their own.

    Raises:
        ConfigError: not of that form, or a camera that the robot has not.
    """
    found = {camera.name: f"simulated-{camera.name}" if robot.simulated else camera.serial for camera in robot.cameras}
    for word in filter(None, words.split(",")):
        name, equals, serial = word.partition("=")
        if not equals or name not in found:
            expected = f"CAMERA=SERIAL with one of {', '.join(found)}"
            raise ConfigError(mismatch("serials", expected, repr(word), "write it as in left_wrist=0815"))
        found[name] = serial
    return found
