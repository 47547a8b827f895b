# SPDX-License-Identifier: Apache-2.0
"""Frames of the library in, pictures of this package out; what cannot be believed is refused by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wam_ros.core.board import Optics
from wam_ros.core.errors import CameraError, mismatch
from wam_ros.core.types import ByteImage, seconds
from wam_ros.realsense.devices import Wanted
from wam_ros.realsense.library import realsense

#: A stamp farther from this computer's clock is another clock's.
FUTURE_NS, PAST_NS = 100_000_000, 10_000_000_000
_NS_PER_MS, _MM_PER_M, _LARGEST_MM = 1e6, 1e3, 65535
ARRIVAL = (
    "its frames carry their time of arrival, not of capture: the kernel hands on no metadata; install librealsense's kernel "
    "patch, or find latency_s with: wam calibrate latency"
)


class FrameError(CameraError):
    """A frame that is not believed.

    Attributes:
        why: under which name it is counted.
    """

    def __init__(self, why: str, text: str) -> None:
        super().__init__(text)
        self.why = why


@dataclass(frozen=True)
class Shot:
    """What one device saw at one time.

    Attributes:
        color: (H, W, 3) RGB.
        stamp_ns: when, by this computer's clock.
        optics: of colour, and of depth, which lies on colour's pixels.
        depth_mm: (H, W), 0 where nothing was measured; None where no depth came with it.
        depth_stamp_ns: when that was.
    """

    color: ByteImage
    stamp_ns: int
    optics: Optics
    depth_mm: NDArray[np.uint16] | None = None
    depth_stamp_ns: int = 0


class Darkroom:
    """Develops the frames of a device that was opened.

    Args:
        wanted: of the device.
        now_ns: reads this computer's clock, to which stamps belong.
        after_ns: the stamp of the last picture before; stamps rise.

    Attributes:
        lost: frames that the device counted and nobody got.
        without_depth: pictures with which no new depth came, where some is wanted.
        on_arrival: whether frames carry the time of arrival only.
    """

    def __init__(self, wanted: Wanted, now_ns: Callable[[], int], after_ns: int = 0) -> None:
        self.lost, self.without_depth, self.on_arrival = 0, 0, False
        self._wanted, self._now_ns, self._rs = wanted, now_ns, realsense()
        self._align = self._rs.align(self._rs.stream.color) if wanted.depth else None
        self._optics: Optics | None = None
        self._number, self._stamp_ns, self._depth_stamp_ns = 0, after_ns, 0

    def develop(self, frames: Any) -> Shot:
        """Return what is on a composite frame.

        Raises:
            FrameError: its colour cannot be used; a depth that cannot is left out.
            CameraError: its lens is described in a way that nobody here can use.
        """
        color = frames.get_color_frame()
        stamp_ns = self._captured_ns(color, self._stamp_ns)
        picture = np.array(color.get_data())
        width, height = self._wanted.color
        if picture.shape != (height, width, 3) or picture.dtype != np.uint8:
            got = f"{picture.dtype} {picture.shape}"
            raise self._refusal("size", f"{width}x{height} RGB", got, "correct its size in the robot file")
        self._count(int(color.get_frame_number()))
        if self._optics is None:
            self._optics = optics_of(self._wanted.name, color.profile.as_video_stream_profile().get_intrinsics())
        self._stamp_ns = stamp_ns
        return Shot(picture, stamp_ns, self._optics, *self._depth(frames))

    def _depth(self, frames: Any) -> tuple[NDArray[np.uint16] | None, int]:
        """Return depth on colour's pixels and its time; None where there is none, or none that is new."""
        if self._align is None:
            return None, 0
        try:
            stamp_ns = self._captured_ns(frames.get_depth_frame(), self._depth_stamp_ns)
        except FrameError:
            self.without_depth += 1
            return None, 0
        self._depth_stamp_ns = stamp_ns
        depth = self._align.process(frames).get_depth_frame()
        return millimetres(np.array(depth.get_data()), depth.get_units()), stamp_ns

    def _captured_ns(self, frame: Any, before_ns: int) -> int:
        """Return the time of capture on this computer's clock."""
        if not frame:
            raise self._refusal("incomplete", "both streams", "one", "if it goes on, let less share its USB controller")
        domain, domains = frame.get_frame_timestamp_domain(), self._rs.timestamp_domain
        if domain not in (domains.global_time, domains.system_time):
            remedy = "it is so for the first frames; if it goes on, update its firmware, or end who else has it open"
            raise self._refusal("device_clock", "stamps of this computer's clock", "of its own", remedy)
        stamp_ns = round(float(frame.get_timestamp()) * _NS_PER_MS)
        behind_ns = self._now_ns() - stamp_ns
        if not -FUTURE_NS < behind_ns < PAST_NS:
            got = f"{seconds(behind_ns):+.2f} s behind it"
            raise self._refusal("other_clock", "this computer's time", got, "let its clock settle; if it stays, replug")
        if stamp_ns <= before_ns:
            got = f"one {seconds(before_ns - stamp_ns):.3f} s earlier"
            raise self._refusal("backwards", "a later stamp than before", got, "if it goes on, replug")
        self.on_arrival = domain == domains.system_time
        return stamp_ns

    def _refusal(self, why: str, expected: str, got: str, remedy: str) -> FrameError:
        return FrameError(why, mismatch(f"{self._wanted.name}: frame", expected, got, remedy))

    def _count(self, number: int) -> None:
        if self._number and number > self._number:
            self.lost += number - self._number - 1
        self._number = number


def optics_of(what: str, intrinsics: Any) -> Optics:
    """Return a lens as OpenCV and ROS describe it.

    The library's brown_conrady and inverse_brown_conrady are OpenCV's model (held to be so by a test).

    Raises:
        CameraError: another model, with coefficients.
    """
    models = realsense().distortion
    known = models.none, models.brown_conrady, models.inverse_brown_conrady
    bent = any(intrinsics.coeffs) and intrinsics.model != models.none
    if bent and intrinsics.model not in known:
        remedy = "take a camera of the D400 family, or the vendor's ROS wrapper"
        raise CameraError(mismatch(f"{what}: lens", "a Brown-Conrady model", intrinsics.model, remedy))
    distortion = tuple(float(value) for value in intrinsics.coeffs) if bent else ()
    fx, fy, cx, cy = (float(v) for v in (intrinsics.fx, intrinsics.fy, intrinsics.ppx, intrinsics.ppy))
    return Optics(intrinsics.width, intrinsics.height, fx, fy, cx, cy, distortion)


def millimetres(raw: NDArray[np.uint16], unit_m: float) -> NDArray[np.uint16]:
    """Return (H, W) depth in whole millimetres; what does not fit is unknown, as 0 is."""
    unit_mm = unit_m * _MM_PER_M
    if abs(unit_mm - 1.0) < 1e-6:
        return raw
    depth = np.rint(raw * np.float32(unit_mm))
    return np.where(depth > _LARGEST_MM, 0, depth).astype(np.uint16)
