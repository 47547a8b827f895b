# SPDX-License-Identifier: Apache-2.0
"""What was imagined of a time against what the cameras then saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from wam_ros.core.errors import ShapeError
from wam_ros.core.foresight import Awaiting, Reckoning, depth_errors, psnr_db
from wam_ros.core.imagination import Imagination
from wam_ros.core.types import NS_PER_S, ByteImage, DepthImage, FloatArray, Observation
from wam_ros.vision.sight import Sight

MOST_HZ = 15


@dataclass(frozen=True)
class Sighted:
    """An observation as a model sees it.

    Attributes:
        stamp_ns: its capture time.
        colors: camera to (H, W, 3) RGB of its view.
        depths_m: camera to (H, W) [m], 0 or NaN where unknown; cameras without believable depth are not in it.
        position: (J,) joints.
        complaints: why depth was not believed, a sentence each.
    """

    stamp_ns: int
    colors: Mapping[str, ByteImage]
    depths_m: Mapping[str, DepthImage]
    position: FloatArray
    complaints: tuple[str, ...] = ()


def sighted(seen: Observation, sights: Mapping[str, Sight]) -> Sighted:
    """Return what of an observation is fresh, as a model sees it."""
    fresh = {name: seen.views[name] for name in sights if name in seen.views and seen.views[name].fresh}
    colors = {name: sights[name].color(view.color) for name, view in fresh.items()}
    depths, complaints = {}, []
    for name, view in fresh.items():
        try:
            if view.depth_m is not None:
                depths[name] = sights[name].depth(view.depth_m)
        except ShapeError as error:
            complaints.append(str(error))
    return Sighted(seen.stamp_ns, colors, depths, seen.joints.position, tuple(complaints))


@dataclass(frozen=True)
class Compared:
    """A picture of an imagination whose time has come, and what was seen then."""

    imagined: Imagination
    frame: int
    seen: Sighted

    @property
    def offset_ns(self) -> int:
        """How long before it was imagined."""
        return self.imagined.offsets_ns[self.frame]

    def errors(self, far_m: float) -> dict[str, float]:
        """Return ``absrel`` and ``delta1`` of depth within ``far_m``, and ``psnr_db`` of colour; NaN where unknown."""
        imagined, seen, k = self.imagined, self.seen, self.frame
        depths = imagined.depths_m or {}
        depth = depth_errors([(depths[c][k], d) for c, d in seen.depths_m.items() if c in depths], far_m)
        psnr = psnr_db([(imagined.colors[c][k], p) for c, p in seen.colors.items()])
        return {"absrel": depth.absrel, "delta1": depth.delta1, "psnr_db": psnr}


class Comparison:
    """Holds imaginations until their times have come, and the reckoning.

    Args:
        sights: camera to how the model sees it.
        far_m: distance up to which depth counts.
        period_ns: of the observations; no more of them are looked at than ``MOST_HZ``, and one that lies farther than
            half a period from a picture's time says nothing about it.

    Attributes:
        complaints: about the newest observation that was looked at.
    """

    def __init__(self, sights: Mapping[str, Sight], far_m: float, period_ns: int) -> None:
        self.complaints: tuple[str, ...] = ()
        self._sights, self._far_m = dict(sights), far_m
        self._period_ns = max(period_ns, round(NS_PER_S / MOST_HZ))
        self._last_ns = -self._period_ns
        self._awaiting: Awaiting[tuple[Imagination, int], Sighted] = Awaiting(self._period_ns // 2)
        self._reckoning = Reckoning()

    def expect(self, imagined: Imagination) -> None:
        """Take an imagination."""
        for frame, offset_ns in enumerate(imagined.offsets_ns):
            self._awaiting.expect(imagined.stamp_ns + offset_ns, (imagined, frame))

    def see(self, seen: Observation) -> list[Compared]:
        """Take an observation; returns what it decides."""
        if 0 <= seen.stamp_ns - self._last_ns < 0.75 * self._period_ns:
            return []
        self._last_ns, now = seen.stamp_ns, sighted(seen, self._sights)
        self.complaints = now.complaints
        found = []
        for met in self._awaiting.see(seen.stamp_ns, now):
            compared = Compared(*met.foreseen, met.seen)
            self._reckoning.add(compared.offset_ns, compared.errors(self._far_m))
            found.append(compared)
        return found

    def forget(self) -> None:
        """What was imagined will not come: the robot was stopped, or an attempt begins anew."""
        self._awaiting.forget()

    def figures(self) -> dict[str, float]:
        """Return the reckoning, and how much was compared, is awaited and was missed."""
        counts = {"compared": self._reckoning.compared, "awaited": len(self._awaiting), "missed": self._awaiting.missed}
        return {**counts, **self._reckoning.figures()}
