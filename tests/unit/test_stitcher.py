# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wam_ros.core.stitch import stitch
from wam_ros.files.assets import load_policy
from wam_ros.policies import stitcher
from wam_ros.policies.stitcher import Stitcher
from wam_ros.vision.resize import resize

MOSAIC = load_policy("hold").mosaic
CAMERAS = [cell.camera for cell in MOSAIC.cells]


def pictures(seed: int) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(seed)
    return {name: noise.integers(0, 256, (240, 320, 3), np.uint8) for name in CAMERAS}


@given(st.sets(st.sampled_from(CAMERAS)), st.integers(0, 9))
def test_the_mosaic_is_the_same_whatever_was_announced(announced, seed):
    views, others = pictures(seed), pictures(seed + 100)
    maker = Stitcher(MOSAIC)
    for name in announced:
        maker.announce(name, others[name])  # overtaken by the next
        maker.announce(name, views[name])
    assert np.array_equal(maker.stitch(views), stitch(MOSAIC, views, resize))
    assert np.array_equal(maker.stitch(others), stitch(MOSAIC, others, resize))


def test_an_announced_picture_is_resized_once(monkeypatch):
    resized = []
    monkeypatch.setattr(stitcher, "resize", lambda *a, **k: resized.append(a[1:3]) or resize(*a, **k))
    views, maker = pictures(0), Stitcher(MOSAIC)
    for name in CAMERAS:
        maker.announce(name, views[name])
    maker.announce("a camera without a cell", views[CAMERAS[0]])
    maker.stitch(views)
    assert resized == [(cell.height, cell.width) for cell in MOSAIC.cells]
