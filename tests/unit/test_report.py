# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests import report_support
from wam_ros.core.cures import cure_of
from wam_ros.core.types import Trajectory, nanoseconds
from wam_ros.report import html, summary
from wam_ros.report.progress import Moment, Progress
from wam_ros.report.recording import Recording, picture
from wam_ros.report.video import write_video

SUCCESS = (4, "success", 4.0, "")
TIMEOUT = (2, "timeout", 20.0, "")
STOPPED = (1, "stopped", 3.0, "camera_stale")


@pytest.fixture(scope="module")
def mixed(robot):
    return report_support.run(robot, [SUCCESS, STOPPED, SUCCESS])


def side_by_side(views):
    return np.concatenate([views[name] for name in sorted(views)], axis=1)


# summary


def test_the_summary_counts_what_happened(mixed):
    data = summary.summarise(mixed)
    assert (data["successes"], data["episodes"], data["success_rate"]) == (2, 3, pytest.approx(2 / 3))
    assert data["time_to_success_s_mean"] == 4.0
    assert data["stops__camera_stale"] == 1
    assert data["seeds"] == [0, 1, 2]
    assert data["memory_mb_max"] == 411.0
    assert [attempt["ending"] for attempt in data["attempts"]] == ["success", "stopped", "success"]


def test_counters_add_up_and_the_worst_extreme_wins(robot):
    attempts = [report_support.attempt(robot, seed, *SUCCESS) for seed in range(2)]
    attempts[1].figures["motion__seam_step_rad_max"] = 0.003
    gathered = summary.gathered_figures(attempts)
    assert gathered["motion__accepted"] == 44
    assert gathered["motion__refused_stale"] == 2
    assert gathered["motion__seam_step_rad_max"] == 0.003
    assert gathered["motion__idle_share"] == pytest.approx(0.02)


def test_jerk_is_given_relative_to_what_the_policy_learned_from(robot):
    run = report_support.run(robot, [SUCCESS, SUCCESS])
    assert "jerk_over_demonstrations" not in summary.summarise(run)
    run.setup = dataclasses.replace(run.setup, demonstration_jerk_rms=3.0)
    assert summary.summarise(run)["jerk_over_demonstrations"] == 2.0


def test_summary_json_is_flat_but_for_attempts_and_appears_whole(mixed, tmp_path):
    path = summary.write_summary(tmp_path, mixed)
    data = json.loads(path.read_text())
    nested = {key for key, value in data.items() if isinstance(value, dict | list)}
    assert nested == {"attempts", "seeds"}
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_a_run_without_attempts_claims_nothing(robot):
    data = summary.summarise(report_support.run(robot, [], complete=False))
    assert data["complete"] is False
    assert (data["success_rate"], data["wilson_low"], data["wilson_high"]) == (0.0, 0.0, 1.0)
    assert data["latency_ms_p50"] is None


# recording


def test_commanded_is_what_the_newest_trajectory_says(robot):
    recording = Recording(("a",), "head", 0)
    for start, value in ((0, 1.0), (5, 2.0), (2, 3.0)):
        times = tuple(range(start, start + 10))
        recording.add_committed(Trajectory(("a",), times, np.full((10, 1), value), np.zeros((10, 1))))
    times, rows = recording.commanded()
    assert rows[:, 0].tolist() == [1.0] * 2 + [3.0] * 10
    assert (np.diff(times) > 0).all()


def test_joints_are_kept_when_all_are_known_and_no_more_often_than_asked(robot):
    recording = Recording(("a", "b"), "head", 0, joint_period_s=0.04)
    for tick in range(100):
        recording.add_joints(tick * 10_000_000, np.array([tick, tick if tick >= 50 else np.nan]))
    times, rows = recording.measured()
    assert times[0] == pytest.approx(0.5)
    assert np.diff(times).min() >= 0.04 - 1e-9
    assert rows.shape == (len(times), 2)


@given(st.floats(0, 0.03), st.integers(1, 12))
def test_skew_is_the_distance_of_the_nearest_frame(offset_s, frames):
    recording = Recording(("a",), "head", 0)
    for index in range(frames):
        recording.wants("head", nanoseconds(index / 15))
        recording.wants("wrist", nanoseconds(index / 15 + offset_s))
    skew = recording.skew_ms()
    assert skew.shape == (frames,)
    assert skew[0] == pytest.approx(1000 * offset_s, abs=1e-5)
    assert (skew <= 1000 * offset_s + 1e-5).all()


def test_a_frame_holds_every_camera_at_nearly_the_same_time(robot):
    frames = report_support.recorded(robot, 3.0).frames()
    assert all(set(frame.pictures) == {camera.name for camera in robot.cameras} for frame in frames)
    assert picture(frames[0].pictures["head"]).shape == (240, 320, 3)
    assert len(frames) <= 3.0 / 0.13 + 1


# page


class Outside(HTMLParser):
    """Collects addresses that a browser would fetch."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found += [value for key, value in attrs if key in {"src", "href", "xlink:href"} and value]


def test_the_page_needs_nothing_but_the_video_beside_it(mixed, robot):
    text = html.render(mixed, robot)
    outside = Outside()
    outside.feed(text)
    fetched = {address for address in outside.found if not address.startswith(("data:", "#"))}
    assert fetched == {"video.mp4#t=0.1"}
    assert "@import" not in text
    assert re.findall(r"url\((?!#)", text) == []


def test_the_page_says_what_happened(mixed, robot):
    text = html.render(mixed, robot)
    assert "of 3 attempts succeeded" in text
    assert "camera_stale" in text
    assert text.count("<svg") == 3
    assert "the first that did not succeed" in text


def test_what_was_not_attempted_is_not_counted_as_lost(mixed, robot):
    assert mixed.verdict == "towel_fold: 2 of 3 attempts succeeded"
    cut_short = dataclasses.replace(mixed, setup=dataclasses.replace(mixed.setup, episodes=10))
    assert cut_short.verdict == "towel_fold: 2 of 3 attempts succeeded; 10 were asked for"


def test_the_page_of_a_broken_run_says_so_first(robot):
    run = report_support.run(robot, [], complete=False)
    run.error = "node motion ended with code 1"
    text = html.render(run, robot)
    assert text.index("not complete") < text.index("succeeded")
    assert "node motion ended with code 1" in text


def test_an_attempt_that_was_stopped_at_once_has_a_page(robot):
    page = html.render(report_support.run(robot, [(0, "stopped", 0.0, "JOINTS_STALE:left")]), robot)
    assert "JOINTS_STALE:left" in page


def test_what_users_write_is_escaped(robot):
    run = report_support.run(robot, [SUCCESS], complete=False)
    run.error = "<script>alert(1)</script>"
    assert "<script>" not in html.render(run, robot)


def test_plots_take_their_colours_from_the_page(mixed, robot):
    for svg in re.findall(r"<svg.*?</svg>", html.render(mixed, robot), flags=re.DOTALL):
        assert "var(--" in svg
        assert not re.search(r"(fill|stroke): #(?!000000|ffffff)", svg)


@given(st.floats(1e-5, 1e6))
def test_numbers_keep_three_significant_digits(value):
    assert float(html.number(value)) == pytest.approx(value, rel=0.0051)
    assert "e" not in html.number(value)


# video


def test_the_video_plays_in_real_time_and_shows_failures(mixed, tmp_path):
    path = write_video(tmp_path / "video.mp4", mixed.attempts, side_by_side, "head")
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        times = [float(frame.time) for frame in container.decode(stream)]
    assert times[-1] == pytest.approx(4.0 + 3.0 + 4.0 + 3.0, abs=0.2)
    assert max(np.diff(times)) < 1.1
    assert path.stat().st_size < 5_000_000
    assert [p.name for p in tmp_path.iterdir()] == ["video.mp4"]


def test_without_a_picture_there_is_no_video(robot, tmp_path):
    attempt = report_support.attempt(robot, 0, *SUCCESS)
    blind = Recording(robot.joint_names, "head", 0)
    assert (
        write_video(tmp_path / "video.mp4", [type(attempt)(0, "success", 1, {}, 1, 1, blind)], side_by_side, "head")
        is None
    )
    assert list(tmp_path.iterdir()) == []


# progress


def moment(**changes):
    given = {"attempt": 1, "seed": 0, "state": "RUNNING", "stages": {"grasped": None}, "robot_s": 1.0, "wall_s": 1.0}
    return Moment(**{**given, **changes})


def shown(robot, *, terminal):
    run = report_support.run(robot, [SUCCESS])
    out = io.StringIO()
    with Progress(Console(file=out, force_terminal=terminal, width=120, highlight=False)) as progress:
        progress.begins(run.setup)
        progress.waiting("the policy")
        for robot_s in (1.0, 1.1, 1.2):
            progress.moment(moment(robot_s=robot_s, figures={"policy": {"latency_ms_p50": 190.0}}))
        progress.moment(moment(robot_s=2.0, stages={"grasped": 1.9}, figures={"policy": {"latency_ms_p50": 190.0}}))
        progress.ended(1, run.attempts[0])
    return out.getvalue()


def test_without_a_terminal_each_stage_is_one_plain_line(robot):
    lines = shown(robot, terminal=False).splitlines()
    assert "\x1b" not in "".join(lines)
    assert lines[1:] == [
        "waiting for the policy",
        "attempt 1 of 1: RUNNING, started at 1.0 s",
        "attempt 1 of 1: RUNNING, grasped at 2.0 s",
        "attempt 1  seed 0  success  4.0 s  progress 100 %  (4.4 s wall)",
    ]


def test_a_stop_comes_with_its_cure_once(robot):
    stopped = dataclasses.replace(report_support.run(robot, [SUCCESS]).attempts[0], stop_cause="CAMERA_STALE:head")
    out = io.StringIO()
    progress = Progress(Console(file=out, width=120, highlight=False))
    for number in (1, 2):
        progress.ended(number, stopped)
    assert out.getvalue().count("CAMERA_STALE:head") == 2
    assert out.getvalue().count(cure_of("CAMERA_STALE:head")) == 1


def test_in_a_terminal_the_panel_shows_figures_and_leaves_the_result(robot):
    text = shown(robot, terminal=True)
    assert "190 ms" in text
    assert "wall)" in text


def test_what_was_imagined_is_told_where_it_was_measured_and_nowhere_else(mixed, robot):
    assert "What was imagined" not in html.render(mixed, robot)
    means = {"absrel_0ms": 0.031, "delta1_0ms": 0.98, "psnr_db_0ms": 31.5, "psnr_db_1600ms": 22.25}
    figures = {**mixed.attempts[0].figures, **{f"imagination__{key}": value for key, value in means.items()}}
    first = dataclasses.replace(mixed.attempts[0], figures=figures)
    for tick in range(4):
        values = {"newest_absrel_0ms": f"{0.01 * tick}", "newest_psnr_db_0ms": "30", "compared": str(tick)}
        first.recording.add_foresight(first.recording.start_ns + tick * 10**9, values)
    assert first.recording.foresight["absrel_0ms"] == [(0.0, 0.0), (1.0, 0.01), (2.0, 0.02), (3.0, 0.03)]
    text = html.render(dataclasses.replace(mixed, attempts=[first]), robot)
    table = re.sub(r"(\s*<[^>]+>\s*)+", "|", text.split("What was imagined")[1])
    assert table.split("PSNR|")[1].startswith("0 ms|0.0310|0.980|31.5|dB|1600 ms|\N{EN DASH}|\N{EN DASH}|22.2|dB|")
    assert 'aria-label="Relative error of imagined depth over time"' in text
