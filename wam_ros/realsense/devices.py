# SPDX-License-Identifier: Apache-2.0
"""What is plugged in, held against what a robot's camera is said to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from wam_ros.core.errors import CameraError, ConfigError, mismatch
from wam_ros.core.robot import Camera
from wam_ros.realsense.library import realsense

Size = tuple[int, int]
#: What helps when a device that is plugged in is not seen.
UNSEEN = "plug it in; if it is, install the udev rules and look at it with lsusb (docs/realsense.md)"
SLOW_LINK = "plug it into a USB 3 port with a USB 3 cable, without a hub"


@dataclass(frozen=True)
class Device:
    """A device that is plugged in.

    Attributes:
        serial: its number.
        model: as in D405.
        usb: of its link, as in 3.2; empty where it does not say.
        firmware: its version.
        handle: the library's.
    """

    serial: str
    model: str = ""
    usb: str = ""
    firmware: str = ""
    handle: Any = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{self.model or 'device'} {self.serial}"

    @property
    def slow(self) -> bool:
        """Whether it is linked by USB 2."""
        return self.usb.startswith("2")


@dataclass(frozen=True)
class Wanted:
    """What is asked of a device.

    Attributes:
        camera: whose pictures it takes; they have its size and rate.
        serial: the device's number.
        depth: (width, height) in which depth is measured, before it is brought to colour's pixels; None: no depth.
    """

    camera: Camera
    serial: str
    depth: Size | None = None

    def __post_init__(self) -> None:
        if self.camera.rate_hz % 1:
            what = f"camera {self.camera.name}: rate_hz"
            raise ConfigError(mismatch(what, "a whole number", self.camera.rate_hz, "correct it in the robot file"))

    @property
    def name(self) -> str:
        """The camera's name, with its device's number, for messages."""
        return f"camera {self.camera.name} ({self.serial})"

    @property
    def color(self) -> Size:
        """(width, height) of colour."""
        return self.camera.width, self.camera.height

    @property
    def rate_hz(self) -> int:
        """Of both streams."""
        return round(self.camera.rate_hz)


def described(handle: Any) -> Device:
    """Return what a device says of itself."""
    infos = realsense().camera_info
    keys = infos.serial_number, infos.name, infos.usb_type_descriptor, infos.firmware_version
    serial, name, usb, firmware = (str(handle.get_info(key)) if handle.supports(key) else "" for key in keys)
    return Device(serial, name.split()[-1] if name else "", usb, firmware, handle)


def choose(wanted: Wanted, devices: Sequence[Device]) -> Device:
    """Return the device with the number that is wanted.

    Raises:
        CameraError: it is not plugged in, or is of another model.
    """
    for device in devices:
        if device.serial == wanted.serial:
            return _of_model(wanted, device)
    others = " and ".join(map(str, devices))
    remedy = f"{UNSEEN}; or correct serial in the robot file" if others else UNSEEN
    raise CameraError(mismatch(wanted.name, f"device {wanted.serial}", others or "no device", remedy))


def _of_model(wanted: Wanted, device: Device) -> Device:
    model = wanted.camera.model
    if model and model.casefold() != device.model.casefold():
        remedy = "are two cameras swapped? correct serial or model in the robot file"
        raise CameraError(mismatch(wanted.name, f"a {model}", device, remedy))
    return device


def check_offered(wanted: Wanted, device: Device) -> None:
    """Hold the profiles of a device against those that are wanted.

    Raises:
        CameraError: it does not offer one of them.
    """
    rs = realsense()
    needs = [("colour", rs.stream.color, rs.format.rgb8, wanted.color, "width, height or rate_hz in the robot file")]
    if wanted.depth:
        needs.append(("depth", rs.stream.depth, rs.format.z16, wanted.depth, "rate_hz in the robot file or depth_size"))
    for what, stream, kind, size, where in needs:
        offered = list(_offered(device, stream, kind))
        if (size, wanted.rate_hz) not in offered:
            expected = f"{size[0]}x{size[1]} at {wanted.rate_hz} Hz"
            remedy = SLOW_LINK if device.slow else f"set {where} to what it offers"
            link = f" over USB {device.usb}" if device.usb else ""
            raise CameraError(mismatch(f"{wanted.name}: {what}", expected, _listed(size, offered) + link, remedy))


def _offered(device: Device, stream: Any, kind: Any) -> Iterable[tuple[Size, int]]:
    for sensor in device.handle.query_sensors():
        for profile in sensor.get_stream_profiles():
            if profile.stream_type() == stream and profile.format() == kind:
                video = profile.as_video_stream_profile()
                yield (video.width(), video.height()), profile.fps()


def _listed(size: Size, offered: Sequence[tuple[Size, int]]) -> str:
    """Return the rates at the size that is wanted, or all sizes where it is not offered."""
    rates = sorted({rate for other, rate in offered if other == size})
    if rates:
        return f"{size[0]}x{size[1]} at {', '.join(map(str, rates))} Hz"
    sizes = sorted({other for other, _ in offered})
    return ", ".join(f"{width}x{height}" for width, height in sizes) or "no such stream"
