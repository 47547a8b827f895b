# SPDX-License-Identifier: Apache-2.0
"""Mosaics: cells apart, nothing lost at native size, and the three layouts the models were trained on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.errors import ConfigError, ShapeError
from wam_ros.core.policy import Cell, Mosaic
from wam_ros.core.stitch import stitch, unstitch
from wam_ros.vision.resize import resize

ROBOTWIN = Mosaic(384, 320, (Cell("head", 0, 0, 256, 320), Cell("l", 256, 0, 128, 160), Cell("r", 256, 160, 128, 160)))
LIBERO = Mosaic(224, 448, (Cell("image", 0, 0, 224, 224), Cell("wrist", 0, 224, 224, 224)))
XWAM = Mosaic(768, 320, tuple(Cell(name, 256 * i, 0, 256, 320) for i, name in enumerate(("main", "l", "r"))))
LAYOUTS = [ROBOTWIN, LIBERO, XWAM]


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@st.composite
def guillotine_mosaics(draw):
    """Mosaics made by cutting a picture again and again: cells are disjoint and cover it."""
    rectangles = [(0, 0, draw(st.integers(1, 40)), draw(st.integers(1, 40)))]
    for _ in range(draw(st.integers(0, 5))):
        top, left, height, width = rectangles.pop(draw(st.integers(0, len(rectangles) - 1)))
        along = draw(st.integers(0, 1)) if height > 1 and width > 1 else int(height == 1)
        if (height, width)[along] == 1:
            rectangles.append((top, left, height, width))
            continue
        cut = draw(st.integers(1, (height, width)[along] - 1))
        parts = [(top, left, cut, width), (top + cut, left, height - cut, width)]
        rectangles += parts if along == 0 else [(top, left, height, cut), (top, left + cut, height, width - cut)]
    cells = tuple(Cell(f"camera{i}", *rectangle) for i, rectangle in enumerate(rectangles))
    return Mosaic(max(r[0] + r[2] for r in rectangles), max(r[1] + r[3] for r in rectangles), cells)


@given(guillotine_mosaics())
def test_cutting_apart_what_was_laid_out_at_native_size_gives_it_back(mosaic):
    views = {c.camera: noise(c.height, c.width, seed=i) for i, c in enumerate(mosaic.cells)}
    cut = unstitch(mosaic, stitch(mosaic, views, resize))
    assert cut.keys() == views.keys()
    assert all(np.array_equal(cut[name], views[name]) for name in views)


@given(guillotine_mosaics(), st.data())
def test_cells_that_meet_are_refused(mosaic, data):
    twin = data.draw(st.sampled_from(mosaic.cells))
    with pytest.raises(ConfigError, match="overlap"):
        Mosaic(mosaic.height, mosaic.width, (*mosaic.cells, Cell("intruder", twin.top, twin.left, 1, 1)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_view_lands_in_its_cell_resized_as_alone(layout):
    views = {c.camera: noise(240, 320, seed=i) for i, c in enumerate(layout.cells)}
    mosaic = stitch(layout, views, resize)
    assert mosaic.shape == (layout.height, layout.width, 3)
    for cell in layout.cells:
        alone = resize(views[cell.camera], cell.height, cell.width, layout.resize)
        np.testing.assert_array_equal(unstitch(layout, mosaic)[cell.camera], alone)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_leave_no_pixel_empty(layout):
    white = {c.camera: np.full((48, 64, 3), 255, np.uint8) for c in layout.cells}
    assert stitch(layout, white, resize).min() == 255


def test_head_lies_on_top_and_the_wrists_below_it_left_then_right():
    views = {name: np.full((10, 10, 3), shade, np.uint8) for name, shade in (("head", 1), ("l", 2), ("r", 3))}
    mosaic = stitch(ROBOTWIN, views, resize)[:, :, 0]
    corners = (mosaic[0, 0], mosaic[255, 319], mosaic[256, 159], mosaic[256, 160], mosaic[383, 319])
    assert [int(corner) for corner in corners] == [1, 1, 2, 3, 3]


def test_a_given_mosaic_is_written_in_place():
    out = np.zeros((384, 320, 3), np.uint8)
    views = {name: noise(240, 320) for name in ("head", "l", "r", "not_in_the_mosaic")}
    assert stitch(ROBOTWIN, views, resize, out) is out
    np.testing.assert_array_equal(out, stitch(ROBOTWIN, views, resize))


def test_a_missing_view_is_named():
    with pytest.raises(ShapeError, match=r"a view of camera r, got \['head', 'l'\]"):
        stitch(ROBOTWIN, {name: noise(4, 4) for name in ("head", "l")}, resize)


@pytest.mark.parametrize("work", [lambda p: stitch(LIBERO, {}, resize, p), lambda p: unstitch(LIBERO, p)])
def test_a_mosaic_of_another_size_is_refused(work):
    with pytest.raises(ShapeError, match="mosaic"):
        work(np.zeros((10, 10, 3), np.uint8))
