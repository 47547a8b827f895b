# SPDX-License-Identifier: Apache-2.0
"""Every configuration loads and fits; ``wam run`` and ``ros2 launch`` play the same graph."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from dataclasses import fields, is_dataclass
from itertools import pairwise, product
from pathlib import Path

import pytest
import yaml

from wam_ros.core.errors import ConfigError, WamError
from wam_ros.core.policy import check_policy_fits
from wam_ros.files.assets import load_policy, load_robot, load_task, names
from wam_ros.graph import PROGRAMS, TELEOP_SOURCES, NodeSpec, RunOptions, make_plan
from wam_ros.launching import ARGUMENTS, from_graph, node_keywords, options_from
from wam_ros.runner import command, params_yaml

REPOSITORY = Path(__file__).parents[2]
DEFAULTS = {name: default for name, (default, _) in ARGUMENTS.items()}


def runs() -> list[RunOptions]:
    """Every task with every robot, policy and pace that fit together, with and without a view."""
    found = []
    for task, robot, policy, pace in product(
        names("tasks"), names("robots"), names("policies"), ("realtime", "lockstep")
    ):
        options = RunOptions(task, robot, policy, pace=pace, view=pace == "realtime")
        try:
            make_plan(options)
        except ConfigError:
            continue
        found.append(options)
    by_hand = [
        RunOptions("towel_fold", "sim_r1_lite", "hold", teleop=t, record="set", console=True) for t in TELEOP_SOURCES
    ]
    doubled = [RunOptions("towel_fold", "r1_lite", "expert", double=True)]
    imagined = [RunOptions(task, imagine=True) for task in names("tasks")]
    return [*found, *by_hand, *doubled, *imagined]


RUNS = runs()


def as_run(spec: NodeSpec, folder: Path) -> dict:
    """What the runner's command line and parameter file say of a node."""
    words = command(spec, folder / "params.yaml")
    start = words.index("--ros-args")
    assert words[start - 3 : start - 1] == ["wam_ros", "node"]
    assert words[-2:] == ["--params-file", str(folder / "params.yaml")]
    remaps = [tuple(word.split(":=")) for flag, word in pairwise(words[start:]) if flag == "-r"]
    return {
        "package": words[start - 3],
        "executable": words[start - 1],
        "name": dict(remaps).pop("__node"),
        "parameters": [yaml.safe_load(params_yaml(spec))["/**"]["ros__parameters"]],
        "remappings": [pair for pair in remaps if pair[0] != "__node"],
    }


def test_every_task_can_be_run_on_some_robot():
    assert {options.task for options in RUNS} == set(names("tasks"))


@pytest.mark.parametrize("options", RUNS, ids=lambda o: f"{o.task}-{o.robot}-{o.policy}-{o.pace}")
def test_launch_and_runner_play_the_same_nodes(options, tmp_path):
    specs = make_plan(options).specs
    assert Counter(spec.name for spec in specs).most_common(1)[0][1] == 1
    for spec in specs:
        assert as_run(spec, tmp_path) == node_keywords(spec)


def test_a_remapping_and_a_number_like_word_survive_the_way_to_the_node(tmp_path):
    spec = NodeSpec("eye", "viewer", {"serial": "1234", "rate_hz": 30.0, "loud": False}, (("in", "/cam/color"),))
    assert as_run(spec, tmp_path) == node_keywords(spec)
    assert as_run(spec, tmp_path)["parameters"] == [{"serial": "1234", "rate_hz": 30.0, "loud": False}]


@pytest.mark.parametrize("options", RUNS, ids=lambda o: f"{o.task}-{o.robot}-{o.policy}-{o.pace}")
def test_launch_arguments_stand_for_the_same_plan_as_the_command_line(options):
    view = str(options.view).lower()
    given = {**DEFAULTS, "robot": options.robot, "policy": options.policy, "pace": options.pace, "view": view}
    given |= {
        "double": str(options.double).lower(),
        "teleop": options.teleop,
        "record": options.record,
        "console": str(options.console).lower(),
        "imagine": str(options.imagine).lower(),
        "rviz": str(options.rviz).lower(),
    }
    assert make_plan(options_from(options.task, given)) == make_plan(options)


@pytest.mark.parametrize(
    ("name", "value"),
    [("seed", "first"), ("latency_ms", "slow"), ("pace", "fast"), ("seed", "1.5"), ("teleop", "mouse")],
)
def test_a_wrong_launch_argument_is_one_sentence(name, value):
    with pytest.raises(ConfigError, match=r"expected .* got"):
        options_from("towel_fold", {**DEFAULTS, name: value})


def test_every_task_has_a_launch_file_that_names_it():
    for task in names("tasks"):
        assert f'from_graph("{task}")' in (REPOSITORY / "launch" / f"{task}.launch.py").read_text(encoding="utf-8")


def test_setup_installs_one_executable_for_each_program():
    text = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    listed = yaml.safe_load(re.search(r"^NODES = (\[[^]]*\])", text, re.MULTILINE)[1])
    assert sorted(listed) == sorted(PROGRAMS)


def test_nodes_are_given_only_parameters_that_they_declare():
    pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
    for spec in {spec.name: spec for options in RUNS for spec in make_plan(options).specs}.values():
        module = importlib.import_module(f"wam_ros.nodes.{spec.target}")
        declared = [v for n, v in vars(module).items() if n.endswith("Params") and is_dataclass(v)]
        known = {field.name for cls in declared for field in fields(cls)} | {"use_sim_time"}
        assert set(spec.params) <= known, spec.name


@pytest.mark.parametrize("name", names("policies"))
def test_every_policy_fits_some_robot(name):
    def fits(robot: str) -> bool:
        try:
            check_policy_fits(load_policy(name), load_robot(robot))
        except WamError:
            return False
        return True

    assert any(map(fits, names("robots")))


@pytest.mark.parametrize("name", names("tasks"))
def test_every_task_names_a_robot_and_a_policy_that_exist(name):
    task = load_task(name)
    for policy in (task.default_policy, task.learner):
        check_policy_fits(load_policy(policy), load_robot(task.default_robot))


def test_ros2_launch_gets_the_graph():
    pytest.importorskip("launch_ros", reason="launch_ros is not installed here")
    from launch import LaunchContext
    from launch_ros.actions import Node

    context = LaunchContext()
    context.launch_configurations.update(DEFAULTS)
    *_, graph = from_graph("towel_fold").entities
    nodes = [entity for entity in graph.execute(context) if isinstance(entity, Node)]
    expected = [node_keywords(spec) for spec in make_plan(RunOptions("towel_fold")).specs]
    assert [(n.node_package, n.node_executable) for n in nodes] == [(k["package"], k["executable"]) for k in expected]
