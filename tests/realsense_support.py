# SPDX-License-Identifier: Apache-2.0
"""RealSense cameras without a camera: the library's software devices on a bus of their own, and recordings of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import time_ns
from typing import Any

import numpy as np
import pytest

rs = pytest.importorskip("pyrealsense2", reason="pyrealsense2, or libusb-1.0, is not here", exc_type=ImportError)

from wam_ros.core.robot import Camera
from wam_ros.files.assets import load_robot
from wam_ros.realsense.bus import Pipeline
from wam_ros.realsense.devices import Device, Wanted, described

SIZE = WIDTH, HEIGHT = 64, 48
GLOBAL, ARRIVAL, OWN = (getattr(rs.timestamp_domain, n) for n in ("global_time", "system_time", "hardware_clock"))
UNIT_M = 0.0001
LENS = (-0.052, 0.058, 0.001, -0.0007, -0.019)


def camera(**changes: Any) -> Camera:
    """A wrist camera of the size of the software devices."""
    return replace(load_robot("ac_one").camera("left_wrist"), width=WIDTH, height=HEIGHT, **changes)


def intrinsics(model: Any = rs.distortion.inverse_brown_conrady, coefficients: tuple[float, ...] = LENS) -> Any:
    """How the software devices see."""
    lens = rs.intrinsics()
    lens.width, lens.height, lens.fx, lens.fy, lens.ppx, lens.ppy = WIDTH, HEIGHT, 41.0, 40.0, 32.5, 23.5
    lens.model, lens.coeffs = model, list(coefficients)
    return lens


def picture(seed: int = 0) -> np.ndarray:
    """(H, W, 3) noise."""
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


class SoftwareCamera:
    """A D405 that sees what it is told.

    Attributes:
        plugged: whether it is on its bus.
    """

    def __init__(self, serial: str, model: str = "D405", usb: str = "3.2") -> None:
        self.serial, self.plugged, self._number = serial, True, 0
        self.device = rs.software_device()
        for key, value in (
            ("serial_number", serial),
            ("name", f"Intel RealSense {model}"),
            ("usb_type_descriptor", usb),
        ):
            self.device.register_info(getattr(rs.camera_info, key), value)
        self._sensors = [self.device.add_sensor(name) for name in ("Stereo Module", "RGB Camera")]
        streams = [_stream(rs.stream.depth, 1, rs.format.z16, 2), _stream(rs.stream.color, 2, rs.format.rgb8, 3)]
        pairs = zip(self._sensors, streams, strict=True)
        self._profiles = [sensor.add_video_stream(stream, is_default=True) for sensor, stream in pairs]
        self._sensors[0].add_read_only_option(rs.option.depth_units, UNIT_M)
        together = rs.extrinsics()
        together.rotation, together.translation = np.eye(3).ravel().tolist(), [0.0, 0.0, 0.0]
        self._profiles[0].register_extrinsics_to(self._profiles[1], together)
        self.device.create_matcher(rs.matchers.default)

    def start(self, sink: Any) -> None:
        """Open both streams."""
        for sensor, profile in zip(self._sensors, self._profiles, strict=True):
            sensor.open(profile)
            sensor.start(sink)

    def stop(self) -> None:
        """Close them."""
        for sensor in self._sensors:
            sensor.stop()
            sensor.close()

    def see(
        self,
        color: np.ndarray | None = None,
        depth: np.ndarray | None = None,
        stamp_ns: int | None = None,
        domain: Any = GLOBAL,
    ) -> int:
        """Send one frame of each stream that is given, both of noise when none is; return its stamp [ns]."""
        if color is None and depth is None:
            color, depth = picture(self._number), np.full((HEIGHT, WIDTH), 3000, np.uint16)
        stamp_ns = time_ns() if stamp_ns is None else stamp_ns
        self._number += 1
        for sensor, profile, pixels in zip(self._sensors, self._profiles, (depth, color), strict=True):
            if pixels is not None:
                self._send(sensor, profile, pixels, stamp_ns, domain)
        return stamp_ns

    def _send(self, sensor: Any, profile: Any, pixels: np.ndarray, stamp_ns: int, domain: Any) -> None:
        frame = rs.software_video_frame()
        frame.pixels, frame.bpp = pixels, pixels[0, 0].nbytes
        frame.stride = WIDTH * frame.bpp
        frame.timestamp, frame.domain, frame.frame_number = stamp_ns / 1e6, domain, self._number
        frame.profile, frame.depth_units = profile.as_video_stream_profile(), UNIT_M
        sensor.on_video_frame(frame)


def _stream(kind: Any, uid: int, form: Any, size: int) -> Any:
    stream = rs.video_stream()
    stream.type, stream.uid, stream.fmt, stream.bpp, stream.fps = kind, uid, form, size, 30
    stream.width, stream.height, stream.intrinsics = WIDTH, HEIGHT, intrinsics()
    return stream


class SoftwareSource:
    """A software device behind the library's syncer, for its pipeline takes none.

    It fails as a device does that is pulled out, as far as that is known without one.
    """

    def __init__(self, opened: SoftwareCamera) -> None:
        self._opened, self._syncer = opened, rs.syncer()
        opened.start(self._syncer)

    def wait(self, timeout_s: float) -> Any:
        if not self._opened.plugged:
            raise RuntimeError("Device disconnected")
        came, frames = self._syncer.try_wait_for_frames(round(timeout_s * 1000))
        return frames if came else None

    def stop(self) -> None:
        self._opened.stop()


class SoftwareBus:
    """Software devices as if they were plugged in."""

    def __init__(self, *cameras: SoftwareCamera) -> None:
        self.cameras = cameras

    def devices(self) -> list[Device]:
        return [described(camera.device) for camera in self.cameras if camera.plugged]

    def start(self, device: Device, wanted: Wanted) -> SoftwareSource:
        return SoftwareSource(next(camera for camera in self.cameras if camera.serial == device.serial))


def record(path: Path, serial: str, stamps_ns: list[int]) -> None:
    """Record a frame for each stamp, as realsense-viewer would."""
    seen, frames = SoftwareCamera(serial), rs.frame_queue(2 * len(stamps_ns))
    recorder = rs.recorder(str(path), seen.device)
    sensors = recorder.query_sensors()
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles()[0])
        sensor.start(frames)
    for stamp_ns in stamps_ns:
        seen.see(stamp_ns=stamp_ns)
    for _ in range(2 * len(stamps_ns)):
        frames.wait_for_frame()
    for sensor in sensors:
        sensor.stop()
        sensor.close()


class FileBus:
    """A recording, played back through the library's pipeline, as if its device were plugged in.

    Sources stay until the bus goes: the library has crashed when a player that had just been stopped was thrown away.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._context = path, rs.context()
        self._sources: list[Pipeline] = []

    def devices(self) -> list[Device]:
        return [described(self._context.load_device(str(self._path)))]

    def start(self, device: Device, wanted: Wanted) -> Pipeline:
        config = rs.config()
        config.enable_device_from_file(str(self._path), False)
        source = Pipeline(config, self._context)
        self._sources.append(source)
        return source
