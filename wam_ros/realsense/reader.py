# SPDX-License-Identifier: Apache-2.0
"""One thread for each camera: open it, read it, and open it again when it is lost."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from time import monotonic, time_ns

from wam_ros.core.errors import CameraError, WamError, mismatch
from wam_ros.core.types import NS_PER_S
from wam_ros.realsense.bus import Bus, FrameSource
from wam_ros.realsense.devices import SLOW_LINK, Device, Wanted, check_offered, choose
from wam_ros.realsense.shots import ARRIVAL, Darkroom, FrameError, Shot

#: A device is slow to begin; later, silence this long means that it is lost [s].
BEGIN_S, SILENCE_S = 5.0, 2.0
#: It is waited for frames in pieces, so that the end does not wait for them [s].
PIECE_S = 0.2
#: Waits between attempts to open it: the first, doubled up to the last [s].
FIRST_S, LAST_S = 0.5, 8.0
#: Less than this share of its rate is too slow.
SLOW = 0.8
_CABLE = "look at its cable and at what shares its USB controller; it is opened again when it is back"
Value = int | float | str
_END = "end the program that has it open (realsense-viewer, realsense2_camera), or replug it"
_RULES = "install the udev rules (docs/realsense.md), and replug it"
#: Words of the library to what helps.
_CURES = {"busy": _END, "power state": _END, "access": _RULES, "permission": _RULES, "resolve": SLOW_LINK}


class Reader:
    """Reads a camera.

    Args:
        bus: where its device is plugged in.
        wanted: of the device.
        take: is given every picture, by the reading thread.
        now_ns: reads this computer's clock.

    Attributes:
        news: what is wrong, in a sentence; empty while all is well.
        refused: frames that were not believed, by reason.
        shots: pictures so far.
        opened: times that the device was opened.
    """

    def __init__(
        self, bus: Bus, wanted: Wanted, take: Callable[[Shot], None], now_ns: Callable[[], int] = time_ns
    ) -> None:
        self.news, self.shots, self.opened = f"{wanted.name}: is being opened", 0, 0
        self.refused: Counter[str] = Counter()
        self._bus, self._wanted, self._take, self._now_ns = bus, wanted, take, now_ns
        self._device: Device | None = None
        self._stamps: deque[int] = deque(maxlen=2 * wanted.rate_hz)
        self._lost = self._without_depth = self._newest_ns = 0
        self._on_arrival, self._seen_s = False, 0.0
        self._ended = Event()
        self._thread = Thread(target=self._run, name=wanted.camera.name, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread and close the device; calling it twice is harmless."""
        self._ended.set()
        self._thread.join()

    @property
    def live(self) -> bool:
        """Whether pictures come."""
        return self._device is not None and monotonic() - self._seen_s < SILENCE_S

    @property
    def complaints(self) -> list[str]:
        """What is wrong, or could be better, with its cure."""
        device = self._device  # the thread may take it away at any time
        if not self.live or device is None:
            return [self.news or f"{self._wanted.name}: no picture for {SILENCE_S:.0f} s"]
        said = [f"{self._wanted.name}: {ARRIVAL}"] if self._on_arrival else []
        if device.slow:
            said.append(mismatch(f"{self._wanted.name}: link", "USB 3", f"USB {device.usb}", SLOW_LINK))
        if len(self._stamps) == self._stamps.maxlen and self.rate_hz < SLOW * self._wanted.rate_hz:
            remedy = "more light (exposure holds the rate down), or fewer cameras on its USB controller"
            got = f"{self.rate_hz:.0f} Hz"
            said.append(mismatch(f"{self._wanted.name}: pictures", f"{self._wanted.rate_hz} Hz", got, remedy))
        return said

    @property
    def rate_hz(self) -> float:
        """Of the last pictures, by their stamps."""
        stamps = list(self._stamps)
        return (len(stamps) - 1) * NS_PER_S / (stamps[-1] - stamps[0]) if len(stamps) > 1 and self.live else 0.0

    def figures(self) -> dict[str, Value]:
        """Return figures for diagnostics."""
        device = self._device or Device(self._wanted.serial)
        return {
            "state": "LIVE" if self.live else "LOST",
            "device": str(device),
            "usb": device.usb,
            "rate_hz": self.rate_hz,
            "pictures": self.shots,
            "opened": self.opened,
            "lost_by_device": self._lost,
            "without_depth": self._without_depth,
            **{f"refused_{why}": count for why, count in self.refused.copy().items()},
        }

    # -- the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        wait_s = FIRST_S
        while not self._ended.is_set():
            before = self.shots
            try:
                self._open_and_read()
            except WamError as error:
                self.news = str(error)
            self._device = None
            wait_s = FIRST_S if self.shots > before else min(2 * wait_s, LAST_S)
            self._ended.wait(wait_s)

    def _open_and_read(self) -> None:
        try:
            device = choose(self._wanted, self._bus.devices())
            check_offered(self._wanted, device)
            source = self._bus.start(device, self._wanted)
        except RuntimeError as error:
            said = str(error).casefold()
            remedy = next((cure for word, cure in _CURES.items() if word in said), "replug it")
            raise CameraError(mismatch(self._wanted.name, "to be opened", error, remedy)) from error
        try:
            self.opened += 1
            self._device = device
            self._read(source)
        except RuntimeError as error:
            raise CameraError(mismatch(self._wanted.name, "frames", error, _CABLE)) from error
        finally:
            with suppress(RuntimeError):
                source.stop()

    def _read(self, source: FrameSource) -> None:
        darkroom = Darkroom(self._wanted, self._now_ns, self._newest_ns)
        self._stamps.clear()
        lost, without = self._lost, self._without_depth
        silent_s, patience_s = 0.0, BEGIN_S
        while not self._ended.is_set():
            frames = source.wait(PIECE_S)
            silent_s = silent_s + PIECE_S if frames is None else 0.0
            if silent_s >= patience_s:
                raise CameraError(mismatch(self._wanted.name, "frames", f"none for {patience_s:.0f} s", _CABLE))
            if frames is None:
                continue
            patience_s = SILENCE_S
            try:
                shot = darkroom.develop(frames)
            except FrameError as error:
                self.refused[error.why] += 1
                self.news = str(error)
                continue
            self._lost, self._without_depth = lost + darkroom.lost, without + darkroom.without_depth
            self._newest_ns = shot.stamp_ns
            self._stamps.append(shot.stamp_ns)
            self._seen_s, self._on_arrival = monotonic(), darkroom.on_arrival
            self.shots, self.news = self.shots + 1, ""
            self._take(shot)
