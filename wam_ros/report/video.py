# SPDX-License-Identifier: Apache-2.0
"""``video.mp4``: the scene and the mosaic the policy was given, in real time, with state and stages written below."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from wam_ros.core.types import ByteImage
from wam_ros.report.recording import SCENE, Frame, Mark, picture
from wam_ros.report.summary import Attempt

Stitch = Callable[[Mapping[str, ByteImage]], ByteImage]

PICTURE_HEIGHT = 480
BAR_HEIGHT = 56
GAP = 4
#: Of the whole file, held by limiting the bit rate [bytes]; a container's overhead is small beside it.
BUDGET_BYTES = 4_500_000
#: Encoding more would keep the user waiting; attempts that failed come first.
MOST_FRAMES = 900
TICKS_PER_S = 1000
VERDICT_S = 1.0

PAPER, INK, MUTED, ACCENT = (22, 24, 26), (230, 231, 228), (120, 127, 132), (109, 177, 209)
GOOD, BAD = (108, 192, 143), (229, 128, 110)


def write_video(path: Path, attempts: Sequence[Attempt], stitch: Stitch, leader: str) -> Path | None:
    """Write an H.264 video of the attempts, failures first; None when no picture was kept.

    Args:
        path: of the file; it appears complete or not at all.
        attempts: of the run, in order.
        stitch: makes the policy's mosaic of the cameras' pictures.
        leader: the camera shown large where nobody drew the scene for people.
    """
    chosen = _chosen(attempts)
    if not chosen:
        return None
    length_s = sum(attempts[index].duration_s + VERDICT_S for index in chosen)
    part = path.with_name(f".{path.name}")
    with av.open(str(part), "w", options={"movflags": "faststart"}) as container:
        pictures = _pictures(attempts, chosen, stitch, leader)
        first = next(pictures)
        stream = _stream(container, first[1], length_s)
        for time_s, image in chain([first], pictures):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = round(time_s * TICKS_PER_S), Fraction(1, TICKS_PER_S)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return part.replace(path)


def _chosen(attempts: Sequence[Attempt]) -> list[int]:
    """Indices of the attempts to show, in the order in which they were made."""
    shown: list[int] = []
    frames = 0
    for index in sorted(range(len(attempts)), key=lambda i: (attempts[i].success, i)):
        count = len(attempts[index].recording.frames())
        if count and (not shown or frames + count <= MOST_FRAMES):
            shown.append(index)
            frames += count
    return sorted(shown)


def _stream(container: av.container.OutputContainer, image: ByteImage, length_s: float) -> av.VideoStream:
    stream: av.VideoStream = container.add_stream("libx264", rate=30)
    stream.height, stream.width = image.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, TICKS_PER_S)
    limit_kbit_s = max(64, int(8 * BUDGET_BYTES / max(length_s, 1.0) / 1000))
    limits = f"vbv-maxrate={limit_kbit_s}:vbv-bufsize={limit_kbit_s}"
    stream.options = {"crf": "24", "preset": "veryfast", "x264-params": limits}
    return stream


def _pictures(
    attempts: Sequence[Attempt], chosen: Sequence[int], stitch: Stitch, leader: str
) -> Iterator[tuple[float, ByteImage]]:
    start_s = 0.0
    for index in chosen:
        attempt = attempts[index]
        for frame in _frames(attempt):
            yield start_s + frame.time_s, compose(frame, attempt, index, stitch, leader)
        start_s += attempt.duration_s + VERDICT_S


def _frames(attempt: Attempt) -> list[Frame]:
    """The attempt's frames, and the last one held so long that its verdict can be read."""
    end_s, kept = attempt.duration_s, attempt.recording.frames()
    verdict = [Frame(time_s, kept[-1].pictures) for time_s in (end_s, end_s + VERDICT_S - 0.05)]
    return [frame for frame in kept if frame.time_s < end_s] + verdict


def compose(frame: Frame, attempt: Attempt, index: int, stitch: Stitch, leader: str) -> ByteImage:
    """Return one picture of the video: scene or leader camera, mosaic, and the line below them."""
    views = {name: picture(data) for name, data in frame.pictures.items()}
    large = views.get(SCENE, views[leader])
    parts = [Image.fromarray(_scaled(image)) for image in (large, stitch(views))]
    width = sum(part.width for part in parts) + GAP
    canvas = Image.new("RGB", (width - width % 2, PICTURE_HEIGHT + BAR_HEIGHT), PAPER)
    canvas.paste(parts[0], (0, 0))
    canvas.paste(parts[1], (parts[0].width + GAP, 0))
    _write_line(ImageDraw.Draw(canvas), frame.time_s, attempt, index, canvas.width)
    return np.asarray(canvas)


def _scaled(image: ByteImage) -> ByteImage:
    width = round(image.shape[1] * PICTURE_HEIGHT / image.shape[0])
    return np.asarray(Image.fromarray(image).resize((width, PICTURE_HEIGHT), Image.Resampling.BICUBIC))


def _write_line(draw: ImageDraw.ImageDraw, time_s: float, attempt: Attempt, index: int, width: int) -> None:
    middle = PICTURE_HEIGHT + BAR_HEIGHT // 2
    over = time_s >= attempt.duration_s
    state = attempt.stop_cause or attempt.ending if over else _state(attempt.recording.states, time_s)
    color = (GOOD if attempt.success else BAD) if over else MUTED
    draw.text((16, middle), f"{min(time_s, attempt.duration_s):5.1f} s", INK, _font("DejaVuSans-Bold", 22), "lm")
    draw.text((120, middle), f"attempt {index + 1}   seed {attempt.seed}", MUTED, _font("DejaVuSans", 16), "lm")
    draw.text((330, middle), state, color, _font("DejaVuSans-Bold", 16), "lm")
    right = width - 16
    for name, at_s in reversed(list(attempt.stages.items())):
        reached = at_s is not None and at_s <= time_s
        font = _font("DejaVuSans-Bold" if reached else "DejaVuSans", 16)
        draw.text((right, middle), name, ACCENT if reached else MUTED, font, "rm")
        right -= round(draw.textlength(name, font)) + 18


def _state(states: Sequence[Mark], time_s: float) -> str:
    return next((mark.text for mark in reversed(states) if mark.time_s <= time_s), "")


def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    # The plotting library brings the font, so that it need not be installed.
    return ImageFont.truetype(str(Path(mpl.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"), size)
