# SPDX-License-Identifier: Apache-2.0
"""What ``wam doctor`` says of the cameras that are plugged in, by themselves and as a robot's."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wam_ros.core.errors import CameraError, MissingDependencyError
from wam_ros.core.inspection import Finding
from wam_ros.core.robot import Robot
from wam_ros.realsense.bus import Bus, UsbBus
from wam_ros.realsense.devices import SLOW_LINK, Device, Wanted, choose
from wam_ros.realsense.library import SYSTEM


def plugged_in(bus: Callable[[], Bus] = UsbBus) -> list[Finding]:
    """Return each device with the line that names it in a robot file."""
    try:
        devices = bus().devices()
    except MissingDependencyError as error:
        return [Finding("RealSense cameras", False, str(error.__cause__), SYSTEM)]
    except RuntimeError as error:
        return [Finding("RealSense cameras", False, str(error), "replug them, and end who else has them open")]
    return [_device(device) for device in devices] or [Finding("RealSense cameras", True, "none is plugged in")]


def _device(device: Device) -> Finding:
    says = f"{device.model}, USB {device.usb or 'unknown'}, firmware {device.firmware or 'unknown'}"
    line = f"cameras: [{{name: NAME, serial: '{device.serial}'}}]"
    return Finding(f"RealSense {device.serial}", not device.slow, f"{says}; in the robot file: {line}", SLOW_LINK)


def seated(robot: Robot, bus: Callable[[], Bus] = UsbBus) -> list[Finding]:
    """Hold the serial numbers and models of a robot's cameras against what is plugged in.

    Where nothing is plugged into this computer, cameras hang on the robot's own, and nothing is said.
    """
    try:
        devices = bus().devices()
    except (MissingDependencyError, RuntimeError):
        return []
    if not devices:
        return []
    known = {camera.serial for camera in robot.cameras}
    spare = [device for device in devices if device.serial not in known]
    found = [_seat(Wanted(camera, camera.serial), devices) for camera in robot.cameras if camera.serial]
    return [
        *found,
        *(Finding(f"RealSense {d.serial}", True, f"a {d.model} that the robot file does not name") for d in spare),
    ]


def _seat(wanted: Wanted, devices: Sequence[Device]) -> Finding:
    what = f"device of {wanted.camera.name}"
    try:
        return Finding(what, True, str(choose(wanted, devices)))
    except CameraError as error:
        return Finding(what, False, wanted.serial, str(error))
