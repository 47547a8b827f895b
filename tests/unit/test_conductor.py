# SPDX-License-Identifier: Apache-2.0
"""A whole calibration on fake time: poses proposed, driven to, looked at, solved, verified, saved; or not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("mujoco", reason="the board stands on the twin's table")

from tests.hand_support import Hand
from wam_ros.calibration.captures import BOARD, Captures
from wam_ros.calibration.conductor import Conductor
from wam_ros.calibration.errands import Doing, Manner
from wam_ros.core.board import Board, Optics
from wam_ros.core.errors import CalibrationError
from wam_ros.core.handeye.problem import Sighting
from wam_ros.core.robot import Robot
from wam_ros.core.transforms import apply, exp, invert, log
from wam_ros.core.types import JointState, Observation, View
from wam_ros.files.assets import find, load_task
from wam_ros.files.calibration import load
from wam_ros.kinematics.forward import Kinematics
from wam_ros.kinematics.routes import Routes
from wam_ros.sim.tasks.board import BoardTable

TICK_NS = 100_000_000
PIXEL_PX = 0.2
MISPLACED = {
    "head": exp(np.array([0.004, -0.006, 0.003, 0.01, -0.02, 0.005])),
    "left_wrist": exp(np.array([-0.005, 0.004, 0.006, -0.02, 0.01, 0.02])),
}
"""Where the cameras really sit, beside where the URDF has them."""


def optics_of(camera) -> Optics:
    focal = float(240 / np.tan(camera.vertical_fov_rad / 2))
    return Optics(640, 480, focal, focal, 319.5, 239.5)


class Room:
    """A robot before a board; what its cameras see follows from where it stands.

    Attributes:
        position: (J,) where the arms are.
        bumped: where somebody has moved the board to.
    """

    def __init__(self, robot: Robot) -> None:
        kept = tuple(camera for camera in robot.cameras if camera.name in MISPLACED)
        self.robot, self.board = replace(robot, cameras=kept), Board()
        self.position, self.bumped = np.array(robot.ready_position()), np.eye(4)
        self.optics = {camera.name: optics_of(camera) for camera in kept}
        self._kinematics, self._rng = Kinematics(self.robot), np.random.default_rng(0)
        self._place = BoardTable(self.robot, load_task(str(find("config/calibration.yaml")))).pose()

    def truth(self, camera: str, frame: str) -> np.ndarray:
        where = self._kinematics.pose(self.position, self.robot.camera(camera).frame) @ MISPLACED[camera]
        return invert(self._kinematics.pose(self.position, frame)) @ where

    def see(self, camera: str) -> Sighting:
        lens, points = self.optics[camera], self.board.corners()
        T_cam_board = invert(self.truth(camera, self.robot.base_frame)) @ self._place @ self.bumped
        ahead = apply(T_cam_board, points)
        pixels = lens.pinhole.project(ahead) + self._rng.normal(0, PIXEL_PX, (len(points), 2))
        inside = (ahead[:, 2] > 0.05) & (pixels > 0).all(axis=1) & (pixels < [lens.width, lens.height]).all(axis=1)
        if inside.sum() < 12 or T_cam_board[2, 2] < 0.2:
            raise CalibrationError("board: none in view")
        return Sighting(camera, BOARD, 0, points[inside], pixels[inside], T_cam_board)

    def captures(self) -> Captures:
        captures = Captures(self.robot, self.board, self.optics, {name: f"0-{name}" for name in self.optics})
        captures.see = lambda camera, _image: self.see(camera)  # its finder has tests of its own
        return captures


class Play:
    """A conductor, the room, and time that passes in ticks; errands are run at once."""

    def __init__(self, robot: Robot, **manner) -> None:
        self.room = Room(robot)
        routes = Routes(self.room.robot, lambda rows: np.ones(len(rows), dtype=bool))
        how = Manner(**{"drive": True, "speed_share": 1.0, "rest_s": 0.15, **manner})
        self.conductor = Conductor(self.room.robot, self.room.captures, routes, how, poses=11, seed=2)
        self.now_ns, self.news, self.leads = 0, [], True
        self.way = [self.room.position.copy()]

    def tick(self) -> None:
        conductor, room = self.conductor, self.room
        self.now_ns += TICK_NS
        conductor.still.feel(self.now_ns, room.position)
        view = View(self.now_ns, np.zeros((2, 2, 3), np.uint8))
        joints = JointState(self.now_ns, room.robot.joint_names, room.position)
        conductor.still.see(Observation(self.now_ns, dict.fromkeys(room.optics, view), joints))
        conductor.lead(room.position if self.leads else None)
        if errand := conductor.step(self.now_ns):
            errand.done(errand.work())
        if conductor.news not in self.news:
            self.news.append(conductor.news)
        if (chunk := conductor.drive.chunk(self.now_ns, self.now_ns)) is not None:
            room.position = chunk.positions[2].copy()  # one tick from now
            self.way.append(room.position)

    def until(self, condition, most: int = 3000) -> None:
        for _ in range(most):
            if condition():
                return
            self.tick()
        raise AssertionError(f"never came true; {self.conductor.figures()}")


def test_a_tour_is_driven_slowly_and_its_verified_file_holds_the_truth_within_its_bound(robot, tmp_path):
    play, path = Play(robot), tmp_path / "cell.yaml"
    conductor = play.conductor
    assert not conductor.save(path).granted
    play.until(lambda: conductor.survey.poses == 3)
    play.until(lambda: conductor.doing is Doing.MOVING)
    play.leads = False  # a person takes over in the middle of a way, moves an arm and hands back
    play.tick()
    play.room.position = play.room.position + 0.1 * (np.arange(14) == 3)
    play.tick()
    assert conductor.drive.chunk(play.now_ns, 0) is None
    play.leads, play.way = True, []
    play.until(lambda: conductor.finished and conductor.doing is Doing.WAITING and conductor.result is not None)
    assert any(word.startswith("verified: ") for word in play.news)
    assert conductor.verify().granted
    answer = conductor.save(path)
    assert answer == (True, f"saved {path}")
    content = load(path, {"left_wrist": "0-left_wrist"})
    for name, camera in content.cameras.items():
        error = log(invert(play.room.truth(name, camera.placed.parent)) @ camera.placed.matrix())
        covariance = np.reshape(camera.placed.covariance, (6, 6))
        assert error @ np.linalg.solve(covariance, error) < 22, name  # chi square, 6 degrees of freedom, 0.1 %
    speeds = np.abs(np.diff(play.way, axis=0)) / (TICK_NS / 1e9)
    assert (speeds.max(axis=0) <= 1.001 * play.room.robot.motion_limits()[0]).all()
    grips = np.array(play.room.robot.gripper_mask)
    assert np.ptp(np.array(play.way)[:, grips]) == 0, "hands stay as they are"
    assert conductor.discard().granted
    assert conductor.figures()["poses"] == 0
    assert not conductor.save(path).granted


def test_a_board_that_is_not_there_ends_the_tour_with_one_sentence(robot):
    play = Play(robot)
    play.room.bumped = exp(np.array([3.0, 0, 0, 0, 0, 0]))
    play.until(lambda: play.conductor.finished)
    assert "no camera sees the board from the ready pose" in play.conductor.news


def test_moved_by_hand_it_looks_at_every_new_rest_once_and_says_where_to_go_next(robot):
    play = Play(robot, drive=False)
    play.leads = False
    play.until(lambda: play.conductor.survey.poses == 1)
    told = play.conductor.told
    for _ in range(20):
        play.tick()
    assert play.conductor.told == told, "the same rest is looked at once"
    assert play.conductor.advice.startswith("left_wrist: move the tool of arm left by")
    play.room.position = play.room.position + 0.12 * (np.arange(14) == 4)
    play.until(lambda: play.conductor.survey.poses == 2)
    assert play.conductor.figures()["lacks"]
    assert play.conductor.figures()["poses_head"] == 1, "what stands still before what stands still counts once"


def test_who_follows_the_advice_by_hand_brings_something_new_each_time(robot):
    play = Play(robot, drive=False)
    hand, conductor, play.leads = Hand(play.room.robot), play.conductor, False
    play.until(lambda: conductor.survey.poses == 1)
    for pose in range(2, 10):
        told = conductor.told
        play.room.position = hand.follow(conductor.advice, play.room.position)
        play.until(lambda told=told: conductor.told > told)
        assert conductor.survey.poses == pose, conductor.news
        assert "sees the same as before" not in conductor.news, "what stands still is no news"


def test_arms_that_never_arrive_do_not_hold_up_the_tour(robot):
    play = Play(robot)
    play.until(lambda: play.conductor.survey.poses == 1)
    play.until(lambda: play.conductor.doing is Doing.MOVING)
    stuck = play.room.position.copy()

    def skipped() -> bool:
        play.room.position = stuck.copy()
        return any("pose skipped" in word for word in play.news)

    play.until(skipped)
