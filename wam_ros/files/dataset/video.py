# SPDX-License-Identifier: Apache-2.0
"""Videos of an episode, through PyAV: written so that a crash costs a few frames, then copied into their final form.

While an episode is open its video is a Matroska file: it can be cut off at any byte and everything before
stays readable. When the episode closes the packets are copied, not encoded again, into the final file with
exact times: frame n at n / fps.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import av
import av.logging
import numpy as np
from numpy.typing import NDArray

from wam_ros.core.episode import PictureKind
from wam_ros.core.errors import DatasetError, ShapeError, mismatch

# SVT-AV1 describes itself on the terminal at each start otherwise.
os.environ.setdefault("SVT_LOG", "1")

#: Milliseconds of video that a crash may find in the muxer's memory.
_CLUSTER_MS = 200
_CONTAINER = {"cluster_time_limit": str(_CLUSTER_MS), "flush_packets": "1"}


@dataclass(frozen=True)
class Codec:
    """An encoder and how it is set.

    Attributes:
        encoder: its name in FFmpeg.
        name: canonical name of what it writes.
        pixels: pixel format written; ``source`` the one it is given.
        options: of the encoder. None of them may make it hold frames back.
        suffix: of the final file.
    """

    encoder: str
    name: str
    pixels: str
    source: str
    options: dict[str, str] = field(default_factory=dict)
    suffix: str = ".mp4"


#: What LeRobot writes, kept from looking ahead: frames held by the encoder would be lost in a crash.
AV1 = Codec(
    "libsvtav1", "av1", "yuv420p", "rgb24",
    {"g": "2", "crf": "30", "preset": "12", "svtav1-params": "pred-struct=1:lookahead=0"},
)  # fmt: skip
H264 = Codec(
    "libx264", "h264", "yuv420p", "rgb24",
    {"g": "2", "bf": "0", "crf": "23", "preset": "superfast", "tune": "zerolatency", "threads": "1"},
)  # fmt: skip
#: Bit by bit what was seen; for small pictures, made by a simulator for training.
LOSSLESS = Codec(
    "libx264rgb", "h264", "rgb24", "rgb24",
    {"g": "10", "bf": "0", "qp": "0", "preset": "ultrafast", "tune": "zerolatency", "threads": "1"},
)  # fmt: skip
#: The default quantiser would cost centimetres at edges. Full range: codes are codes, and no reader may stretch them.
DEPTH = Codec(
    "libx265", "hevc", "gray12le", "gray12le",
    {
        "g": "2", "bf": "0", "crf": "12", "preset": "ultrafast", "tune": "zerolatency",
        "x265-params": "crf=12:keyint=2:bframes=0:frame-threads=1:pools=1:ctu=16:max-tu-size=16:no-deblock=1:range=full:log-level=none",
    },
)  # fmt: skip
#: Code by code, beside lossless colour.
DEPTH_LOSSLESS = Codec(
    "libx265", "hevc", "gray12le", "gray12le",
    {
        "g": "10", "bf": "0", "preset": "ultrafast", "tune": "zerolatency",
        "x265-params": "lossless=1:keyint=10:bframes=0:frame-threads=1:pools=1:range=full:log-level=none",
    },
)  # fmt: skip
DEPTH_ARCHIVE = Codec("ffv1", "ffv1", "gray16le", "gray16le", {"g": "1", "threads": "1"}, ".mkv")


def codecs_beside(color: Codec) -> dict[PictureKind, Codec]:
    """Return the codec of each kind of picture in a dataset whose colour is encoded so."""
    depth = DEPTH_LOSSLESS if color == LOSSLESS else DEPTH
    return {"color": color, "depth": depth, "depth_archive": DEPTH_ARCHIVE}


def choose_color_codec(height: int, width: int, cameras: int, fps: int, share: float = 0.5) -> Codec:
    """Return AV1 where this machine can afford it, else H.264; takes about half a second.

    Args:
        height, width: of the largest picture.
        cameras: recorded at once.
        fps: of each.
        share: of all cores that encoding may take.
    """
    pictures = _trial_pictures(height, width)
    spent_s, wall_s = process_time(), perf_counter()
    encoder = _encoder(AV1, height, width, fps)
    for n, picture in enumerate(pictures):
        encoder.encode(_frame(AV1, picture, n, fps))
    encoder.encode(None)
    busy_s, wall_s = process_time() - spent_s, perf_counter() - wall_s
    cores = os.cpu_count() or 1
    # The wall counts where other work leaves less than the cores' number promises.
    needed = cameras * fps * max(busy_s / cores, wall_s / 2) / len(pictures)
    return AV1 if needed <= share else H264


def _trial_pictures(height: int, width: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    ramp = np.add.outer(np.arange(height), np.arange(width))[:, :, None] % 200
    noise = rng.integers(0, 16, (height, width, 3))
    return [np.roll(ramp + noise, 5 * n, axis=1).astype(np.uint8) for n in range(20)]


def _encoder(codec: Codec, height: int, width: int, fps: int) -> Any:
    context: Any = av.CodecContext.create(codec.encoder, "w")
    context.width, context.height, context.pix_fmt = width, height, codec.pixels
    context.time_base, context.framerate = Fraction(1, fps), Fraction(fps)
    context.options = codec.options
    return context


def _frame(codec: Codec, picture: NDArray[Any], n: int, fps: int) -> av.VideoFrame:
    frame = av.VideoFrame.from_ndarray(picture, format=codec.source)
    if codec.source != codec.pixels:
        frame = frame.reformat(format=codec.pixels)
    frame.pts, frame.time_base = n, Fraction(1, fps)
    return frame


class VideoJournal:
    """A video that grows.

    Args:
        path: of the Matroska file.
        codec: how it is encoded.
        height, width: of its pictures.
        fps: frames per second.

    Attributes:
        frames: handed over so far.
    """

    def __init__(self, path: Path, codec: Codec, height: int, width: int, fps: int) -> None:
        self.path, self.frames = path, 0
        self._codec, self._fps = codec, fps
        self._container = av.open(str(path), "w", format="matroska", options=_CONTAINER)
        stream = self._container.add_stream(codec.encoder, rate=fps, options=codec.options)
        assert isinstance(stream, av.VideoStream)
        self._stream, self._shape = stream, (height, width)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, codec.pixels
        self._stream.codec_context.time_base = Fraction(1, fps)

    def append(self, picture: NDArray[Any]) -> None:
        """Encode the next frame.

        Raises:
            OSError: the disk takes no more.
            ShapeError: a picture of another size.
        """
        if picture.shape[:2] != self._shape:
            what = f"picture for {self.path.name}"
            raise ShapeError(mismatch(what, self._shape, picture.shape[:2], "a camera must keep its size"))
        frame = _frame(self._codec, picture, self.frames, self._fps)
        self._mux(frame)
        self.frames += 1

    def close(self) -> None:
        """Write what the encoder still holds and end the file.

        Raises:
            OSError: the disk takes no more.
        """
        if self.frames:
            self._mux(None)
        try:
            self._container.close()
        except av.error.FFmpegError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error

    def _mux(self, frame: av.VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except av.error.FFmpegError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error


def frame_times(path: Path) -> tuple[float, ...]:
    """Return when each whole packet of a video is shown [s], up to where it is cut off; none when it is no video."""
    times_s: list[float] = []
    with suppress(av.error.FFmpegError, IndexError), av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = stream.time_base or Fraction(1)
        for packet in container.demux(stream):
            if packet.size:
                times_s.append(float((packet.pts or 0) * base))
    return tuple(times_s)


def copy_frames(journal: Path, path: Path, count: int, fps: int) -> None:
    """Copy the first packets of a journal into a file that ends in .mp4.part or .mkv.part, frame n at n / fps.

    Raises:
        DatasetError: the journal has fewer.
    """
    form = "matroska" if ".mkv" in path.suffixes else "mp4"
    base, copied = Fraction(1, fps), 0
    # A fixed number of ticks for each frame, so that times are exact.
    options = {} if form == "matroska" else {"movflags": "faststart", "video_track_timescale": str(fps * 512)}
    with av.open(str(journal)) as source, av.open(str(path), "w", format=form, options=options) as target:
        out = target.add_stream_from_template(source.streams.video[0], opaque=True)
        out.time_base = base
        for packet in islice((p for p in source.demux(video=0) if p.size), count):
            packet.stream, packet.time_base = out, base
            packet.pts = packet.dts = copied
            packet.duration = 1
            target.mux(packet)
            copied += 1
    if copied != count:
        raise DatasetError(mismatch(f"frames in {journal}", count, copied, "recover the dataset"))


@dataclass(frozen=True)
class VideoFacts:
    """What a video file says about itself."""

    codec: str
    pixels: str
    height: int
    width: int
    fps: float
    times_s: tuple[float, ...]


def read_facts(path: Path) -> VideoFacts:
    """Return what a video file says about itself, without decoding it.

    Raises:
        DatasetError: it is no video.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            base = stream.time_base or Fraction(1)
            times = [float(p.pts * base) for p in container.demux(stream) if p.size and p.pts is not None]
            context, rate = stream.codec_context, float(stream.average_rate or 0)
            name = context.codec.canonical_name
            return VideoFacts(name, context.pix_fmt or "", context.height, context.width, rate, tuple(times))
    except (av.error.FFmpegError, IndexError) as error:
        raise DatasetError(f"{path}: is not a video ({error}); restore it from a copy") from error


def decode(path: Path, pixels: str = "rgb24") -> Iterator[NDArray[Any]]:
    """Yield the pictures of a video: (H, W, 3) uint8 RGB, or (H, W) uint16 for the gray formats.

    Raises:
        DatasetError: it cannot be decoded to its end.
    """
    try:
        with av.open(str(path)) as container:
            # Decoders would rather invent a picture than report that one is damaged.
            container.streams.video[0].codec_context.options = {"err_detect": "explode"}
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format=pixels)
    except (av.error.FFmpegError, IndexError) as error:
        raise DatasetError(f"{path}: cannot be decoded ({error}); restore it from a copy") from error


def last_frame_decodes(path: Path, times_s: Sequence[float]) -> bool:
    """Return whether the end of a video can be decoded: a cheap sign that all of it is there."""
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            base = stream.time_base or Fraction(1)
            container.seek(round(times_s[-1] / base), stream=stream)
            shown = [float((frame.pts or 0) * base) for frame in container.decode(stream)]
    except (av.error.FFmpegError, IndexError):
        return False
    return bool(shown) and abs(shown[-1] - times_s[-1]) < 1e-4
