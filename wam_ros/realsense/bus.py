# SPDX-License-Identifier: Apache-2.0
"""Where frames come from: devices on USB, or whatever else has the library's frames."""

from __future__ import annotations

from contextlib import suppress
from threading import Lock
from typing import Any, Protocol

from wam_ros.realsense.devices import Device, Wanted, described
from wam_ros.realsense.library import realsense


class FrameSource(Protocol):
    """An open device."""

    def wait(self, timeout_s: float) -> Any:
        """Return the next composite frame of the library, None when none comes in time; its RuntimeError where it fails."""
        ...

    def stop(self) -> None:
        """Close it; a device that is gone is no error."""
        ...


class Bus(Protocol):
    """What devices are plugged into; called by several threads."""

    def devices(self) -> list[Device]:
        """Return those that are plugged in; the library's RuntimeError where it fails."""
        ...

    def start(self, device: Device, wanted: Wanted) -> FrameSource:
        """Open a device; the library's RuntimeError where it fails."""
        ...


class Pipeline:
    """A source of the library's own: a device, or a file that is played back.

    Args:
        config: says of what.
        context: the library's.
    """

    def __init__(self, config: Any, context: Any) -> None:
        self._pipeline = realsense().pipeline(context)
        self.profile = self._pipeline.start(config)

    def wait(self, timeout_s: float) -> Any:
        """Return the newest composite frame, None when none comes in time."""
        came, frames = self._pipeline.try_wait_for_frames(round(timeout_s * 1000))
        return frames if came else None

    def stop(self) -> None:
        """Close it."""
        with suppress(RuntimeError):
            self._pipeline.stop()


class UsbBus:
    """The devices of this computer. One is opened at a time: several at once starve each other.

    Raises:
        MissingDependencyError: without the library.
    """

    def __init__(self) -> None:
        self._rs = realsense()
        self._context, self._lock = self._rs.context(), Lock()

    def devices(self) -> list[Device]:
        """Return what is plugged in."""
        with self._lock:
            return [described(handle) for handle in self._context.query_devices()]

    def start(self, device: Device, wanted: Wanted) -> FrameSource:
        """Open a device with its clock mapped to this computer's."""
        config = self._rs.config()
        config.enable_device(device.serial)
        config.enable_stream(self._rs.stream.color, *wanted.color, self._rs.format.rgb8, wanted.rate_hz)
        if wanted.depth:
            config.enable_stream(self._rs.stream.depth, *wanted.depth, self._rs.format.z16, wanted.rate_hz)
        mapped = self._rs.option.global_time_enabled
        with self._lock:
            for sensor in device.handle.query_sensors():
                if sensor.supports(mapped):
                    sensor.set_option(mapped, 1.0)
            # Without this question, start waits a quarter of a minute for a device that has just left.
            if not config.can_resolve(self._rs.pipeline_wrapper(self._rs.pipeline(self._context))):
                raise RuntimeError("the device left, or cannot resolve both streams at once")
            return Pipeline(config, self._context)
