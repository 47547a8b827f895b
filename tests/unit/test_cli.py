# SPDX-License-Identifier: Apache-2.0
"""The command line: what it answers, and that a mistake is one sentence with exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from wam_ros import cli
from wam_ros.core.errors import ConfigError
from wam_ros.files.assets import find, load_robot, load_task
from wam_ros.files.load import to_data
from wam_ros.graph import RunOptions, make_plan
from wam_ros.overrides import Assignment, apply, node_parameters, parse, with_values

ROBOT = "sim_r1_lite"


def mistake(capsys, *arguments: str) -> str:
    """The sentence with which a command ends; nothing else is said, and it is no success."""
    assert cli.main([*map(str, arguments)]) == cli.MISTAKE
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("wam: ")
    assert said.err.count("\n") == 1, said.err
    return said.err


@pytest.fixture
def robot_file(tmp_path):
    """Writes a robot YAML with one thing changed, and returns its path."""

    def write(change) -> Path:
        data = to_data(load_robot(ROBOT))
        change(data)
        path = tmp_path / "robot.yaml"
        path.write_text(yaml.safe_dump(data), encoding="utf-8")
        return path

    return write


def unknown_key(robot):
    robot["arm"] = robot["arms"]


def wrong_length(robot):
    robot["arms"][0]["home_rad"] = [0.0, 0.0]


def missing_joint(robot):
    robot["arms"][0]["joints"][0] = "left_arm_joint9"


def missing_camera(robot):
    robot["cameras"] = [c for c in robot["cameras"] if c["name"] != "left_wrist"]


def missing_leader(robot):
    robot["leader_camera"] = "eye"


def limits_beyond_the_urdf(robot):
    robot["arms"][0]["limits"]["upper_rad"][0] = 9.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (unknown_key, "$.arm: expected one of arms,"),
        (wrong_length, "$.arms[0]: arm left: home_rad: expected 6 values, got 2"),
        (missing_joint, "robot.yaml: r1_lite.urdf.xacro: joint: expected ["),
        (missing_leader, "leader_camera: expected ["),
        (limits_beyond_the_urdf, "robot.yaml: arm left: limits of left_arm_joint1: expected within"),
    ],
)
def test_a_wrong_robot_is_named_by_file_and_key(capsys, robot_file, change, words):
    assert words in mistake(capsys, "check", "robot", robot_file(change))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nothing"], "expected one of"),
        (["run", "towel_fold", "--robot", "nobody"], "robots: expected one of"),
        (["run", "towel_fold", "--robot", "nowhere.yaml"], "nowhere.yaml: cannot be read (No such file"),
        (["run", "towel_fold", "--policy", "."], "policies: expected one of"),
        (["run", "towel_fold", "--episodes", "0"], "episodes: expected 1 or more, got 0"),
        (["run", "towel_fold", "--latency-ms", "-5"], "latency: expected 0 to 10 s, got -0.005 s"),
        (["run", "towel_fold", "--seed", "-1"], "seed: expected 0 to"),
        (["run", "towel_fold", "--set", "task.metod=c2"], "--set task: $.metod: expected one of"),
        (["run", "towel_fold", "--set", "task.method=fast"], "--set task: $.method: expected one of wait,"),
        (["run", "towel_fold", "--set", "method"], "expected PLACE.KEY=VALUE, got 'method'"),
        (["run", "towel_fold", "--set", "policy.options=[1"], "the value is not valid YAML"),
        (["run", "towel_fold", "--set", "robot.cameras.7.rate_hz=1"], "expected 0..2, all, got 7"),
        (["run", "towel_fold", "--set", "gripper.rate_hz=1.0"], "got gripper"),
        (["run", "towel_fold", "--teleop", "keyboard"], "--teleop keyboard: expected a terminal, got none"),
        (["run", "towel_fold", "--set", "motion.a.b=1"], "expected PARAMETER="),
        (["bench", "nothing"], "bench: expected sync"),
        (["node", "nothing"], "node: expected sim_robot, policy"),
        (["check", "policy", "nothing"], "policies: expected one of"),
    ],
)
def test_a_mistake_is_one_sentence_and_leaves_no_run_folder(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert words in mistake(capsys, *arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_robot_without_a_camera_of_the_policy_is_refused_before_anything_starts(capsys, tmp_path, robot_file):
    out = tmp_path / "out"
    words = mistake(capsys, "run", "towel_fold", "--robot", robot_file(missing_camera), "--out", out)
    assert "camera: expected ['head', 'right_wrist'], got left_wrist" in words
    assert not out.exists()


def test_a_folder_that_holds_something_is_not_written_to(capsys, tmp_path):
    (tmp_path / "summary.json").write_text("{}")
    assert "expected a new or empty folder" in mistake(capsys, "run", "towel_fold", "--out", tmp_path)
    assert (tmp_path / "summary.json").read_text() == "{}"


@pytest.mark.parametrize(
    "arguments",
    [("run", "towel_fold"), ("eval", "towel_fold"), ("record", "--sim", "--task", "towel_fold")],
)
def test_what_stands_where_a_folder_should_be_made_is_named_and_left(capsys, tmp_path, arguments):
    file, dangling = tmp_path / "file", tmp_path / "dangling"
    file.write_text("mine")
    dangling.symlink_to(tmp_path / "nowhere")
    for out, got in (
        (file, f"a file at {file}"),
        (file / "below", f"a file at {file}"),
        (dangling, "a link to nothing"),
    ):
        words = mistake(capsys, *arguments, "--out", out)
        assert f"{out}: expected a folder, or a place for one, got {got}" in words
    assert (file.read_text(), dangling.is_symlink(), len(list(tmp_path.iterdir()))) == ("mine", True, 2)


def test_list_shows_what_there_is_even_beside_a_broken_file(capsys, tmp_path, monkeypatch):
    (tmp_path / "config" / "tasks").mkdir(parents=True)
    (tmp_path / "config" / "tasks" / "broken.yaml").write_text("name: broken")
    monkeypatch.setenv("WAM_ROS_PATH", str(tmp_path))
    assert cli.main(["list"]) == cli.OK
    said = " ".join(capsys.readouterr().out.split())
    assert all(name in said for name in (ROBOT, "towel_fold", "expert", "hold", "sim_robot", "broken", "add the key"))


@pytest.mark.parametrize(("kind", "name"), [("robot", ROBOT), ("task", "towel_fold"), ("policy", "hold")])
def test_check_finds_what_is_shipped_good(capsys, kind, name):
    assert cli.main(["check", kind, name]) == cli.OK
    assert capsys.readouterr().out.endswith("good\n")


def test_doctor_names_the_line_that_cures(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(tmp_path / "nobody.xml"))
    monkeypatch.setenv("ROS_DOMAIN_ID", "999")
    assert cli.main(["doctor"]) == cli.FAILED
    said = capsys.readouterr().out
    assert f"FASTRTPS_DEFAULT_PROFILES_FILE: export FASTRTPS_DEFAULT_PROFILES_FILE={find('config/fastdds.xml')}" in said
    assert "ROS domain: export ROS_DOMAIN_ID=0" in said


@pytest.mark.parametrize(
    ("module", "words", "sentence"),
    [
        ("pyarrow", ["check", "dataset", "."], "pyarrow, for recording and datasets, is not installed; run: "),
        ("cv2", ["calibrate", "board"], "cv2 is not installed; run: "),
        ("mujoco", ["calibrate", "--robot", ROBOT, "--auto"], "mujoco is not installed; run: "),
        ("std_msgs", ["node", "policy"], "std_msgs is not installed; run: source /opt/ros/DISTRO/setup.bash, or "),
    ],
)
def test_a_package_that_is_not_installed_is_one_sentence_with_its_cure(tmp_path, module, words, sentence):
    code = f"import sys; sys.modules[{module!r}] = None; from wam_ros import cli; sys.exit(cli.main({words}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert ended.returncode == cli.MISTAKE, ended.stderr
    assert ended.stderr.startswith(f"wam: the Python module {sentence}")
    assert ended.stderr.count("\n") == 1
    assert f"{sys.executable} -m pip install " in ended.stderr


def test_an_import_that_fails_by_a_bug_of_ours_keeps_its_traceback(monkeypatch):
    def broken(options):
        raise ImportError("cannot import name 'bord' from 'wam_ros.core.board'", name="wam_ros.core.board")

    monkeypatch.setattr("wam_ros.bench.sync.run", broken)
    with pytest.raises(ImportError, match="bord"):
        cli.main(["bench", "sync"])


def test_a_bench_prints_its_figures_and_writes_them_flat(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("wam_ros.bench.sync.run", lambda options: {"sets_per_s": 30.0, "method": "leader"})
    assert cli.main(["bench", "sync", "--json", str(tmp_path / "out.json")]) == cli.OK
    assert json.loads((tmp_path / "out.json").read_text()) == {"sets_per_s": 30.0, "method": "leader"}
    assert "sets_per_s" in capsys.readouterr().out


def test_figures_that_cannot_be_written_are_a_mistake(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("wam_ros.bench.sync.run", lambda options: {})
    assert cli.main(["bench", "sync", "--json", str(tmp_path / "no" / "out.json")]) == cli.MISTAKE
    assert "cannot be written (No such file or directory)" in capsys.readouterr().err


def test_an_interrupt_is_no_traceback(capsys, monkeypatch):
    def interrupted(options):
        raise KeyboardInterrupt

    monkeypatch.setattr("wam_ros.bench.sync.run", interrupted)
    assert cli.main(["bench", "sync"]) == cli.INTERRUPTED
    assert capsys.readouterr().err == "wam: interrupted\n"


_WITHOUT_NUMPY = "sys.modules['numpy'] = None"
_INTERRUPTED_AT_ONCE = """
class Finder:
    def find_spec(self, name, *_):
        if name == "wam_ros.cli":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    ("before", "code", "words"),
    [
        (_WITHOUT_NUMPY, 2, "the Python module numpy is not installed; run: "),
        (_INTERRUPTED_AT_ONCE, 130, "interrupted\n"),
    ],
)
def test_the_first_import_may_fail_or_be_interrupted(before, code, words):
    program = f"import sys\n{before}\nfrom wam_ros.__main__ import main\nsys.exit(main())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stderr.startswith(f"wam: {words}")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_the_command_line_starts_without_heavy_libraries():
    heavy = ("torch", "mujoco", "rclpy", "cv2", "pinocchio", "matplotlib", "rich")
    code = f"import sys, wam_ros.cli; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_set_changes_a_description_as_its_file_would():
    task = with_values(load_task("towel_fold"), [parse("task.timeout_s=7"), parse("task.method=c2")])
    assert (task.timeout_s, task.method) == (7.0, "c2")
    assert with_values(load_robot(ROBOT), [parse("robot.cameras.0.rate_hz=30")]).cameras[0].rate_hz == 30
    slow = with_values(load_robot(ROBOT), [parse("robot.cameras.all.rate_hz=7")])
    assert {camera.rate_hz for camera in slow.cameras} == {7}


def test_set_reads_values_as_yaml():
    assert parse("policy.options.mode=a=b") == Assignment("policy", ("options", "mode"), "a=b")
    found = node_parameters([parse("motion.heartbeat_s=0.2"), parse("task.method=c2"), parse("policy.seed=1")])
    assert found == (("motion", "heartbeat_s", 0.2),)


def test_what_was_set_is_what_the_nodes_read(tmp_path):
    options = apply(make_plan(RunOptions("towel_fold")), [parse("task.timeout_s=7")], tmp_path)
    plan = make_plan(options)
    assert plan.task.timeout_s == 7.0
    assert {spec.params.get("task") for spec in plan.specs} == {str(tmp_path / "task.yaml"), None}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["task.yaml"]


def test_nothing_is_written_when_one_of_the_values_is_wrong(tmp_path):
    plan = make_plan(RunOptions("towel_fold"))
    with pytest.raises(ConfigError, match="speed"):
        apply(plan, [parse("task.timeout_s=7"), parse("robot.speed=2")], tmp_path / "new")
    assert not (tmp_path / "new").exists()
