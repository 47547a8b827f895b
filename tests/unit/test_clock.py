# SPDX-License-Identifier: Apache-2.0
"""A clock on a screen is read off pictures of it to the millisecond, or not at all."""

from __future__ import annotations

import json
import shutil
import subprocess

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wam_ros.core.clock_code import CELLS, PERIOD_MS, decode, encode, since_ms
from wam_ros.vision.clock import ClockReader, draw, page

times = st.integers(0, PERIOD_MS - 1)


@given(times)
def test_a_time_comes_back(time_ms):
    assert decode(encode(time_ms)) == time_ms
    assert decode(encode(time_ms + 7 * PERIOD_MS)) == time_ms


@given(times, st.integers(0, CELLS - 1), st.integers(0, CELLS - 1))
def test_one_or_two_cells_read_wrongly_are_noticed(time_ms, one, other):
    cells = encode(time_ms)
    for cell in {one, other}:
        cells[cell] = ~cells[cell]
    assert decode(cells) is None


@given(st.floats(-400e3, 400e3), st.integers(0, 2**41))
def test_the_time_since_it_was_shown_knows_no_end_of_the_period(late_ms, shown_ms):
    assert since_ms(shown_ms + late_ms, shown_ms % PERIOD_MS) == pytest.approx(late_ms, abs=1e-2)


def seen(field, rng, noise=4.0):
    """The clock on a screen that stands aslant, in a room, with noise and blur."""
    h, w = field.shape
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    target = np.array([[150, 90], [505, 120], [480, 350], [130, 330]], np.float32) + rng.uniform(-15, 15, (4, 2))
    turned = cv2.warpPerspective(
        field, cv2.getPerspectiveTransform(corners, target.astype(np.float32)), (640, 480), borderValue=90
    )
    blurred = cv2.GaussianBlur(turned, (0, 0), 0.8) * 0.7 + 20
    return np.clip(blurred + rng.normal(0, noise, blurred.shape), 0, 255).astype(np.uint8)


@settings(max_examples=15)
@given(times, st.integers(0, 100))
def test_a_camera_reads_it_aslant_blurred_and_noisy(time_ms, seed):
    assert ClockReader().read(seen(draw(time_ms, 30), np.random.default_rng(seed))) == time_ms


def test_a_picture_of_two_times_or_of_none_shows_none():
    rng, reader = np.random.default_rng(0), ClockReader()
    for first_ms in range(1000, 1500, 50):
        mixed = (draw(first_ms, 30) / 2 + draw(first_ms + 17, 30) / 2).astype(np.uint8)
        assert reader.read(seen(mixed, rng)) is None
    assert reader.read(np.full((480, 640), 200, np.uint8)) is None


@pytest.mark.skipif(shutil.which("node") is None, reason="no JavaScript here")
def test_the_page_shows_the_same_cells():
    script = page().partition("<script>")[2].partition("</script>")[0]
    asked = [0, 1, 17, 123456, PERIOD_MS - 1, 1_700_000_000_123]
    ask = f"{script}\nconsole.log(JSON.stringify({json.dumps(asked)}.map(t => cells(t % layout.periodMs))));"
    said = subprocess.run(["node", "-e", ask], capture_output=True, text=True, check=True, timeout=120)
    assert np.array_equal(np.array(json.loads(said.stdout), dtype=bool), [encode(t) for t in asked])
