# SPDX-License-Identifier: Apache-2.0
"""A clock on a screen for cameras: four markers, and between them the time as cells (core/clock_code.py)."""

from __future__ import annotations

import json

import cv2
import numpy as np
from numpy.typing import NDArray

from wam_ros.core.clock_code import CELLS, CHECK_BITS, PERIOD_MS, POLYNOMIAL, TIME_BITS, decode, encode
from wam_ros.core.types import ByteImage, FloatArray

WIDTH, HEIGHT = 17, 11
"""Of the field, in cells."""
MARKER = 3
MARKERS_AT = ((1, 1), (13, 1), (13, 7), (1, 7))
"""Upper left cells of the markers 0 to 3."""
COLUMNS, FIRST = 7, (5, 3)
"""Of the time: cells in a row, and where the first one is."""
LEAST_MARKERS = 3
SURE = 0.2
"""A cell whose brightness is nearer to the middle, as a share of the contrast, was seen while it changed."""


class ClockReader:
    """Reads the clock in pictures."""

    def __init__(self) -> None:
        self._detector = cv2.aruco.ArucoDetector(_dictionary(), cv2.aruco.DetectorParameters())

    def read(self, image: ByteImage) -> int | None:
        """Return the time [ms, modulo PERIOD_MS] that an RGB (H, W, 3) or grey (H, W) picture shows; None where none."""
        grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) if image.ndim == 3 else image, dtype=np.uint8)
        corners, ids, _ = self._detector.detectMarkers(grey)
        found = (
            {} if ids is None else {int(i): c.reshape(4, 2) for i, c in zip(ids.ravel(), corners, strict=True) if i < 4}
        )
        if len(found) < LEAST_MARKERS:
            return None
        field = np.concatenate([_marker_corners(i) for i in found])
        to_picture, _ = cv2.findHomography(field, np.concatenate(list(found.values())))
        return None if to_picture is None else self._time(grey, np.asarray(to_picture, dtype=np.float64))

    @staticmethod
    def _time(grey: ByteImage, to_picture: FloatArray) -> int | None:
        black, white = (_brightness(grey, to_picture, at) for at in (_black(), _white()))
        contrast = float(np.median(white) - np.median(black))
        cells = (_brightness(grey, to_picture, _cells()) - np.median(black)) / max(contrast, 1.0) - 0.5
        if contrast < 30 or not np.isfinite(cells).all() or np.abs(cells).min() < SURE:
            return None
        return decode(cells < 0)


def draw(time_ms: int, cell_px: int) -> ByteImage:
    """Return the clock from the front, (HEIGHT, WIDTH) * cell_px grey."""
    field = np.full((HEIGHT * cell_px, WIDTH * cell_px), 255, np.uint8)
    for number, (column, row) in enumerate(MARKERS_AT):
        marker = np.asarray(cv2.aruco.generateImageMarker(_dictionary(), number, MARKER * cell_px))
        field[row * cell_px : (row + MARKER) * cell_px, column * cell_px : (column + MARKER) * cell_px] = marker
    for (column, row), dark in zip(_places(), encode(time_ms), strict=True):
        if dark:
            field[row * cell_px : (row + 1) * cell_px, column * cell_px : (column + 1) * cell_px] = 0
    return field


def page() -> str:
    """Return the page that shows the clock of the computer on whose screen it is opened."""
    markers = [
        np.asarray(cv2.aruco.generateImageMarker(_dictionary(), n, 6) == 0, dtype=int).tolist() for n in range(4)
    ]
    layout = {
        "width": WIDTH, "height": HEIGHT, "marker": MARKER, "markersAt": MARKERS_AT, "markers": markers,
        "places": _places(), "timeBits": TIME_BITS, "checkBits": CHECK_BITS, "polynomial": POLYNOMIAL, "periodMs": PERIOD_MS,
    }  # fmt: skip
    return _PAGE.replace("LAYOUT", json.dumps(layout))


def _dictionary() -> cv2.aruco.Dictionary:
    return cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)


def _places() -> list[tuple[int, int]]:
    return [(FIRST[0] + i % COLUMNS, FIRST[1] + i // COLUMNS) for i in range(CELLS)]


def _marker_corners(number: int) -> FloatArray:
    """(4, 2) of a marker in the field, clockwise from the upper left, as the detector gives them."""
    column, row = MARKERS_AT[number]
    corners: FloatArray = np.array([column, row]) + MARKER * np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    return corners


def _cells() -> FloatArray:
    """(CELLS, 9, 2) places in the middle of each cell."""
    around = np.stack(np.meshgrid([0.35, 0.5, 0.65], [0.35, 0.5, 0.65]), axis=-1).reshape(-1, 2)
    places: FloatArray = np.array(_places(), dtype=np.float64)[:, None] + around
    return places


def _black() -> FloatArray:
    """(4, 4, 2) places on the markers' borders."""
    middle = 0.25 + (MARKER - 0.5) * np.array([[0.5, 0.0], [1.0, 0.5], [0.5, 1.0], [0.0, 0.5]])
    places: FloatArray = np.array(MARKERS_AT, dtype=np.float64)[:, None] + middle
    return places


def _white() -> FloatArray:
    """(4, 1, 2) places beside the cells."""
    return np.array([[[8.5, 2.2]], [[8.5, 7.8]], [[4.5, 5.5]], [[12.5, 5.5]]])


def _brightness(grey: ByteImage, to_picture: FloatArray, places: FloatArray) -> NDArray[np.float64]:
    """(N,) mean grey at (N, P, 2) places of the field; NaN beyond the picture's edge."""
    flat = np.c_[places.reshape(-1, 2), np.ones(places.shape[0] * places.shape[1])] @ to_picture.T
    pixels = (flat[:, :2] / flat[:, 2:]).astype(np.float32)
    values = cv2.remap(
        grey, pixels[:, 0], pixels[:, 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    ).astype(np.float64)
    outside = (pixels < 0).any(axis=1) | (pixels > np.array(grey.shape[::-1]) - 1).any(axis=1)
    means: NDArray[np.float64] = np.where(outside, np.nan, values.ravel()).reshape(places.shape[:2]).mean(axis=1)
    return means


_PAGE = """<!doctype html>
<html><head><meta charset="utf-8"><title>clock for cameras</title>
<style>html, body { margin: 0; height: 100%; background: white } canvas { display: block; margin: auto }</style></head>
<body><canvas id="clock"></canvas><script>
const layout = LAYOUT;
function cells(timeMs) {
  const time = timeMs % layout.periodMs, gray = time ^ (time >> 1);
  let rest = gray * (1 << layout.checkBits);
  const divisor = (1 << layout.checkBits) | layout.polynomial;
  for (let bit = layout.timeBits - 1; bit >= 0; bit--)
    if ((rest >> (bit + layout.checkBits)) & 1) rest ^= divisor << bit;
  const count = layout.timeBits + layout.checkBits, word = gray * (1 << layout.checkBits) + rest;
  return Array.from({ length: count }, (_, i) => (word >> (count - 1 - i)) & 1);
}
function show() {
  const canvas = document.getElementById("clock"), pen = canvas.getContext("2d");
  const side = Math.floor(Math.min(innerWidth / layout.width, innerHeight / layout.height) / 6) * 6;
  if (canvas.width !== side * layout.width) {
    canvas.width = side * layout.width;
    canvas.height = side * layout.height;
  }
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.fillStyle = "black";
  const bit = (side * layout.marker) / 6;
  layout.markers.forEach((rows, n) => rows.forEach((row, y) => row.forEach((dark, x) => {
    if (dark) pen.fillRect(layout.markersAt[n][0] * side + x * bit, layout.markersAt[n][1] * side + y * bit, bit, bit);
  })));
  cells(Math.round(performance.timeOrigin + performance.now())).forEach((dark, i) => {
    if (dark) pen.fillRect(layout.places[i][0] * side, layout.places[i][1] * side, side, side);
  });
  requestAnimationFrame(show);
}
if (typeof document !== "undefined") show();
</script></body></html>
"""
