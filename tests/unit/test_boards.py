# SPDX-License-Identifier: Apache-2.0
"""Boards are found to a tenth of a pixel; pictures that are not good enough are refused by name; prints are to scale."""

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from wam_ros.core.board import STANDARD, Board, Optics
from wam_ros.core.errors import CalibrationError, ConfigError
from wam_ros.core.transforms import apply, invert, log, rigid
from wam_ros.vision.boards import BoardFinder, board_pose, coverage, picture, whole_px
from wam_ros.vision.intrinsics import calibrate_intrinsics, fitness_px
from wam_ros.vision.print import write_board

BOARD = Board()
OPTICS = Optics(640, 480, 420.0, 420.0, 322.0, 238.0)
SQUARE_PX = 60


def facing(distance_m=0.26, tilt=(0.3, -0.2, 0.1), at=(0.0, 0.0), board=BOARD):
    """T_cam_board with the board's middle on the optical axis, or beside it."""
    R = Rotation.from_rotvec(tilt).as_matrix()
    middle = np.array([*board.size_m, 0.0]) / 2
    return rigid(R, np.array([*at, distance_m]) - R @ middle)


def photographed(T_cam_board, optics=OPTICS, blur_px=0.7, noise=2.0, seed=0, board=BOARD):
    """The board as the camera sees it: a homography, drawn three times too large and averaged."""
    fine = 3
    square_px = 156 if board.kind == "aprilgrid" else SQUARE_PX
    scale = board.square_m / square_px
    # Pixel centres are whole numbers: the board's edge lies half a pixel before the first one.
    to_board = np.array([[scale, 0, scale / 2], [0, scale, scale / 2], [0, 0, 1]])
    T = T_cam_board
    H = optics.matrix() @ np.c_[T[:3, 0], T[:3, 1], T[:3, 3]] @ to_board
    zoom = np.array([[fine, 0, (fine - 1) / 2], [0, fine, (fine - 1) / 2], [0, 0, 1]])
    drawn = np.pad(np.where(picture(board, square_px) > 127, 225, 30).astype(np.uint8), 40, constant_values=225)
    shift = np.array([[1, 0, -40], [0, 1, -40], [0, 0, 1]])
    size = (optics.width * fine, optics.height * fine)
    large = cv2.warpPerspective(drawn, zoom @ H @ shift, size, flags=cv2.INTER_LINEAR, borderValue=120)
    grey = cv2.resize(large, (optics.width, optics.height), interpolation=cv2.INTER_AREA).astype(np.float64)
    grey = cv2.GaussianBlur(grey, (0, 0), blur_px) if blur_px else grey
    grey += np.random.default_rng(seed).normal(0, noise, grey.shape)
    return np.clip(grey, 0, 255).astype(np.uint8)


def test_corners_are_found_to_a_tenth_of_a_pixel():
    T = facing()
    found = BoardFinder(BOARD).require(photographed(T))
    assert len(found.ids) == 70
    truth = OPTICS.pinhole.project(apply(T, BOARD.corners()))[found.ids]
    assert np.sqrt(((found.pixels - truth) ** 2).mean()) < 0.1


@pytest.mark.parametrize("kind", ["aprilgrid", "checkerboard"])
@pytest.mark.parametrize("turn_rad", [0.2, np.pi - 0.1])
def test_other_boards_are_found_either_way_up(kind, turn_rad):
    board = STANDARD[kind]
    R = Rotation.from_rotvec([0.3, -0.2, 0.0]) * Rotation.from_rotvec([0.0, 0.0, turn_rad])
    T = facing(0.32 if kind == "aprilgrid" else 0.2, R.as_rotvec(), board=board)
    image = photographed(T, board=board)
    found = BoardFinder(board).require(image)
    assert len(found.ids) > 0.8 * len(board.corners())
    truth = OPTICS.pinhole.project(apply(T, board.corners()))[found.ids]
    assert np.sqrt(((found.pixels - truth) ** 2).mean()) < 0.1
    assert found.blur_px < 1.3
    assert found.contrast > 150
    error = log(invert(T) @ BoardFinder(board).sighting(image, OPTICS, "wrist", "table", 0).T_cam_board)
    assert np.linalg.norm(error[:3]) < 0.001
    assert np.linalg.norm(error[3:]) < 0.004


def test_a_grid_of_tags_is_kalibr_s():
    board = STANDARD["aprilgrid"]
    corners = board.corners().reshape(board.rows, board.columns, 4, 3)
    # Tag 0 at the lower left, the next to its right; y points down here.
    assert corners[0, 0, :, 1].min() > corners[1:, :, :, 1].max()
    assert corners[0, 1, :, 0].min() - corners[0, 0, :, 0].max() == pytest.approx(board.gap_m)
    drawn = picture(board, 156)
    assert drawn.shape == (5 * 156 + 36, 8 * 156 + 36)
    tag = drawn[-36 - 120 : -36, 36 : 36 + 120][6::12, 6::12] > 127
    # kalibr draws bit 0 of the code 0xd5d628584 of tag 0 at the lower right, and two black cells around.
    bits = [[bool(0xD5D628584 >> (35 - 6 * row - column) & 1) for column in range(6)] for row in range(6)]
    assert tag[2:8, 2:8].tolist() == bits
    assert not tag[:2].any()
    assert not tag[:, -2:].any()


def test_tags_of_another_grid_do_not_count():
    board = STANDARD["aprilgrid"]
    smaller = replace(board, columns=4, rows=3)
    found = BoardFinder(smaller).find(photographed(facing(0.3, board=board), board=board))
    assert found.ids.max() < 4 * 12


@pytest.mark.parametrize("size", [(8, 6), (9, 7), (7, 7)])
def test_a_checkerboard_that_looks_the_same_upside_down_is_refused(size):
    with pytest.raises(ConfigError, match="looks the same turned by 180 degrees; take one row or column more"):
        Board(*size, kind="checkerboard")


def test_a_checkerboard_with_other_squares_is_named():
    board = STANDARD["checkerboard"]
    seen = photographed(facing(board=board), board=board)
    with pytest.raises(
        CalibrationError, match=r"no checkerboard 10 x 7, squares 12 mm is in view .* count its squares"
    ):
        BoardFinder(replace(board, columns=10, rows=7)).require(seen)


def test_a_board_with_more_markers_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="at most 250 markers"):
        Board(30, 20, 0.01, 0.008)
    with pytest.raises(ConfigError, match="an AprilGrid has no other"):
        Board(kind="aprilgrid")


def test_a_sighting_holds_the_pose_and_takes_color_pictures():
    T = facing()
    color = np.repeat(photographed(T)[:, :, None], 3, axis=2)
    sighting = BoardFinder(BOARD).sighting(color, OPTICS, "wrist", "table", 3)
    error = log(invert(T) @ sighting.T_cam_board)
    assert np.linalg.norm(error[:3]) < 0.0015
    assert np.linalg.norm(error[3:]) < 0.005
    assert (sighting.camera, sighting.board, sighting.pose) == ("wrist", "table", 3)


@pytest.mark.parametrize("blur_px", [0.8, 1.6, 2.4])
def test_blur_is_measured(blur_px):
    found = BoardFinder(BOARD).find(photographed(facing(0.14), blur_px=blur_px))
    # The lens' own softness, half a pixel of it, adds to the blur.
    assert found.blur_px == pytest.approx(np.hypot(blur_px, 0.5), rel=0.25)


def test_a_blurred_picture_is_refused():
    with pytest.raises(CalibrationError, match="blurred by"):
        BoardFinder(BOARD).require(photographed(facing(0.14), blur_px=2.6))


def test_a_saturated_picture_is_refused():
    bright = np.clip(photographed(facing(), noise=0.0).astype(int) // 6 + 215, 0, 255).astype(np.uint8)
    with pytest.raises(CalibrationError, match=r"too dark or saturated|none in view"):
        BoardFinder(BOARD).require(bright)


def test_no_board_and_half_a_board_are_refused():
    with pytest.raises(CalibrationError, match="none in view"):
        BoardFinder(BOARD).require(np.full((480, 640), 128, np.uint8))
    with pytest.raises(CalibrationError, match="at least 12 corners"):
        BoardFinder(BOARD).require(photographed(facing(at=(0.255, 0.05), tilt=(0, 0, 0))))


@pytest.mark.parametrize("kind", ["charuco", "aprilgrid"])
def test_a_mirrored_picture_is_named(kind):
    board = STANDARD[kind]
    seen = photographed(facing(0.3, board=board), board=board)
    with pytest.raises(CalibrationError, match="mirrored; switch the driver's flip off"):
        BoardFinder(board).require(np.ascontiguousarray(seen[:, ::-1]))


def test_pictures_of_another_size_are_refused():
    with pytest.raises(CalibrationError, match="same resolution"):
        BoardFinder(BOARD).sighting(np.zeros((240, 320), np.uint8), OPTICS, "wrist", "table", 0)


def test_a_wrong_lens_is_noticed():
    bent = Optics(640, 480, 420.0, 420.0, 322.0, 238.0, (0.35, 0.0, 0.0, 0.0))
    with pytest.raises(CalibrationError, match="intrinsics"):
        BoardFinder(BOARD).sighting(photographed(facing()), bent, "wrist", "table", 0)


def test_the_pose_of_exact_corners_is_exact():
    T = facing(tilt=(0.4, 0.2, -0.5))
    found, error_px = board_pose(BOARD.corners(), OPTICS.pinhole.project(apply(T, BOARD.corners())), OPTICS)
    assert np.abs(log(invert(T) @ found)).max() < 1e-6
    assert error_px < 1e-4


@pytest.fixture(scope="module")
def shots():
    count = 9
    rng = np.random.default_rng(1)
    finder = BoardFinder(BOARD)
    pictures = []
    for i in range(count):
        at = ((i % 3 - 1) * 0.05, (i // 3 % 3 - 1) * 0.04)
        tilt = np.r_[rng.uniform(-0.5, 0.5, 2), rng.uniform(-0.2, 0.2)]
        pictures.append(finder.find(photographed(facing(rng.uniform(0.24, 0.32), tilt, at), seed=i)))
    return pictures


def test_intrinsics_are_found_and_checked(shots):
    pictures = shots
    found = calibrate_intrinsics(pictures, BOARD, 640, 480)
    assert abs(found.optics.fx - OPTICS.fx) < 4 * max(found.sigma_px[0], 0.3)
    assert found.rms_px < 0.2
    assert fitness_px(pictures, BOARD, OPTICS) < 0.2
    wrong = Optics(640, 480, 470.0, 380.0, 322.0, 238.0)
    assert fitness_px(pictures, BOARD, wrong) > 0.6
    assert (coverage(pictures, 640, 480) > 0).mean() > 0.6


def test_intrinsics_need_enough_pictures_everywhere(shots):
    with pytest.raises(CalibrationError, match="at least 8 pictures"):
        calibrate_intrinsics(shots[:4], BOARD, 640, 480)
    with pytest.raises(CalibrationError, match="in the corners too"):
        calibrate_intrinsics([shots[0]] * 9, BOARD, 1280, 960)


def test_the_printed_board_is_true_to_scale(tmp_path):
    path = tmp_path / "board.pdf"
    assert write_board(BOARD, path) == "A4"
    text = path.read_bytes()
    width_pt, height_pt = map(float, re.search(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", text).groups())
    assert width_pt * 25.4 / 72 == pytest.approx(297, abs=0.02)
    assert height_pt * 25.4 / 72 == pytest.approx(210, abs=0.02)
    width_px = int(re.search(rb"/Width (\d+)", text).group(1))
    assert width_px / 297 == pytest.approx(25)


def test_a_board_is_drawn_in_whole_pixels():
    wanted = {"charuco": 80, "aprilgrid": 130, "checkerboard": 48}
    assert {kind: whole_px(board, 4000) for kind, board in STANDARD.items()} == wanted
    for kind, board in STANDARD.items():
        assert picture(board, wanted[kind]).min() == 0


@pytest.mark.parametrize("kind", ["aprilgrid", "checkerboard"])
def test_other_boards_are_printed_too(kind, tmp_path):
    assert write_board(STANDARD[kind], tmp_path / "b.pdf") == "A4"


def test_a_board_too_large_for_a4_takes_the_next_page(tmp_path):
    assert write_board(Board(square_m=0.03, marker_m=0.022), tmp_path / "b.pdf") == "A3"
    with pytest.raises(ConfigError, match="whole steps"):
        write_board(Board(square_m=0.02001), tmp_path / "b.pdf")


def test_a_board_in_millimetres_is_refused():
    with pytest.raises(ConfigError, match="divide millimetres"):
        Board(square_m=20, marker_m=15)
