# SPDX-License-Identifier: Apache-2.0
"""The node graph as data: what runs, with which parameters, in which ring."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from wam_ros.core.errors import ConfigError
from wam_ros.files.assets import load_policy, load_task
from wam_ros.graph import PROGRAMS, NodeSpec, RunOptions, build_graph, make_plan

TWIN = RunOptions("towel_fold", robot="sim_r1_lite", policy="hold")


def graph(**changes) -> dict[str, NodeSpec]:
    return {spec.name: spec for spec in make_plan(replace(TWIN, **changes)).specs}


def real(robot):
    return replace(robot, simulated=False)


def test_the_twin_is_the_line_from_robot_to_safety():
    assert list(graph()) == ["sim_robot", "policy", "motion", "safety"]


def test_robot_and_twin_differ_by_the_simulator_alone(robot):
    task, policy = load_task("towel_fold"), load_policy("hold")
    twin = {spec.name: spec for spec in build_graph(robot, task, policy, TWIN)}
    rig = {spec.name: spec for spec in build_graph(real(robot), task, policy, TWIN)}
    assert twin.keys() - rig.keys() == {"sim_robot"}
    for name, spec in rig.items():
        assert dict(spec.params) == {**twin[name].params, "use_sim_time": False}


def test_the_task_chooses_what_is_not_chosen():
    plan = make_plan(RunOptions("towel_fold"))
    assert (plan.options.robot, plan.options.policy) == (plan.task.default_robot, plan.task.default_policy)
    assert plan.specs == make_plan(plan.options).specs


def test_in_lockstep_each_node_follows_the_one_before_and_the_first_follows_the_last():
    specs = graph(pace="lockstep")
    names = list(specs)
    assert [spec.params["lockstep_after"] for spec in specs.values()] == [names[-1], *names[:-1]]


def test_in_realtime_nobody_is_in_the_ring():
    assert not any("lockstep_after" in spec.params for spec in graph().values())


def test_lockstep_declares_the_reference_latency_and_realtime_none():
    assert graph(pace="lockstep")["policy"].params["declared_latency_s"] == 0.19
    assert graph()["policy"].params["declared_latency_s"] == 0.0
    assert graph(declared_latency_s=0.8)["policy"].params["declared_latency_s"] == 0.8


def test_the_drift_monitor_stands_at_the_side_and_outside_the_ring():
    for pace in ("realtime", "lockstep"):
        spec = graph(drift=True, pace=pace)["drift"]
        assert not spec.required
        assert spec.params == {"robot": "sim_r1_lite", "use_sim_time": True}


def test_the_view_stands_at_the_side():
    specs = graph(view=True, pace="lockstep")
    assert [name for name, spec in specs.items() if not spec.required] == ["viewer"]
    assert "lockstep_after" not in specs["viewer"].params


@pytest.mark.parametrize("source", ["leader", "gamepad", "keyboard"])
def test_a_person_takes_part_only_when_asked_for_and_stands_outside_the_ring(source):
    specs = graph(teleop=source, pace="lockstep")
    assert specs.keys() - graph(pace="lockstep").keys() == {"teleop"}
    assert {name: specs[name] for name in graph(pace="lockstep")} == graph(pace="lockstep")
    assert dict(specs["teleop"].params) == {"robot": "sim_r1_lite", "use_sim_time": True, "source": source}
    assert specs["teleop"].required


def test_the_stand_in_for_a_person_is_a_policy_whose_chunks_are_the_persons(robot):
    stand_in = graph(teleop="expert")["teleop"]
    assert (stand_in.target, stand_in.params["policy"]) == ("policy", "expert")
    assert ("policy/chunk", "teleop/chunk") in stand_in.remaps
    options = replace(TWIN, teleop="expert")
    with pytest.raises(ConfigError, match="teleop expert reads the simulator and robot sim_r1_lite is real"):
        build_graph(real(robot), load_task("towel_fold"), load_policy("hold"), options)
    with pytest.raises(ConfigError, match="teleop: expected leader or gamepad or keyboard or expert, got 'mouse'"):
        replace(TWIN, teleop="mouse")


def test_the_console_is_the_view_with_buttons():
    assert graph(console=True)["viewer"].params == graph(view=True)["viewer"].params | {"console": True}
    assert not graph(console=True)["viewer"].required


def test_a_recorder_stands_at_the_side_when_there_is_a_folder_for_it():
    recorder = graph(record="demos/towel")["recorder"]
    assert (recorder.params["root"], recorder.required) == ("demos/towel", False)


def test_the_imagination_stands_at_the_side_and_is_told_the_policy():
    specs = graph(imagine=True, pace="lockstep")
    assert [name for name, spec in specs.items() if not spec.required] == ["imagination"]
    assert specs["imagination"].params == {
        "robot": "sim_r1_lite",
        "use_sim_time": True,
        "policy": "hold",
        "measure": True,
    }


def test_every_node_of_the_graph_is_a_program_of_the_package():
    assert {spec.target for spec in graph(view=True).values()} <= set(PROGRAMS)


def test_a_parameter_reaches_its_node_alone():
    with_it, without = graph(params=(("motion", "heartbeat_s", 0.2),)), graph()
    assert with_it["motion"].params == {**without["motion"].params, "heartbeat_s": 0.2}
    assert {n: s for n, s in with_it.items() if n != "motion"} == {n: s for n, s in without.items() if n != "motion"}


def test_only_a_twin_can_be_randomised_or_disturbed(robot):
    assert graph(randomise=True)["sim_robot"].params["randomise"] is True
    assert RunOptions("towel_fold", randomise=True, disturb=True).twin == "randomised and disturbed"
    with pytest.raises(ConfigError, match="only a twin can be disturbed"):
        build_graph(
            real(robot), load_task("towel_fold"), load_policy("hold"), RunOptions("towel_fold", robot="x", disturb=True)
        )


def test_a_spec_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        graph()["policy"].name = "other"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"params": (("gripper", "rate_hz", 1.0),)}, "expected sim_robot, policy, motion, safety, got gripper"),
        ({"pace": "fast"}, "pace: expected realtime or lockstep, got 'fast'"),
        ({"declared_latency_s": -0.1}, "latency: expected 0 to 10 s, got -0.1 s"),
        ({"seed": -1}, "seed: expected 0 to 2147483647, got -1"),
        ({"robot": "nobody"}, "expected one of"),
        ({"task": "nothing"}, "expected one of"),
        ({"policy": "no.yaml"}, "no.yaml: cannot be read"),
    ],
)
def test_a_wrong_choice_is_named(changes, words):
    with pytest.raises(ConfigError, match=words):
        graph(**changes)


def test_a_demonstrator_is_refused_on_a_real_robot(robot):
    with pytest.raises(ConfigError, match="reads the simulator's truth"):
        build_graph(real(robot), load_task("towel_fold"), load_policy("expert"), TWIN)


def test_lockstep_is_refused_on_a_real_robot(robot):
    with pytest.raises(ConfigError, match="lockstep needs a simulated robot"):
        build_graph(real(robot), load_task("towel_fold"), load_policy("hold"), replace(TWIN, pace="lockstep"))


def test_a_task_without_a_twin_is_refused_on_a_simulated_robot(robot):
    task = replace(load_task("towel_fold"), scene="")
    with pytest.raises(ConfigError, match="has no scene"):
        build_graph(robot, task, load_policy("hold"), TWIN)


def test_a_policy_that_needs_another_camera_is_refused(robot):
    blind = replace(robot, cameras=robot.cameras[:1])
    with pytest.raises(ConfigError, match=r"camera: expected \['head'\], got left_wrist"):
        build_graph(blind, load_task("towel_fold"), load_policy("hold"), TWIN)
