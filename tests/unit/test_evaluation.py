# SPDX-License-Identifier: Apache-2.0
"""What an evaluation leaves behind, the trials people mark, and what is refused before anything starts."""

from __future__ import annotations

import dataclasses
import io
import json
import re

import pytest
import yaml
from rich.console import Console

from tests import report_support
from wam_ros import cli
from wam_ros.core.errors import ConfigError
from wam_ros.core.trials.comparison import Verdict
from wam_ros.core.trials.sequential import Decision, Question
from wam_ros.files.assets import load_policy, load_task
from wam_ros.files.identity import identity_of
from wam_ros.files.marks import read_marks
from wam_ros.report.blinded import Blinded
from wam_ros.report.evaluation import Evaluation, Side, kept_of, write_evaluation
from wam_ros.report.progress import Moment, Progress
from wam_ros.report.trial_log import LOG, TrialLog

SUCCESS = (4, "success", 4.0, "")
TIMEOUT = (2, "timeout", 20.0, "")
STOPPED = (1, "stopped", 3.0, "camera_stale")
MARKED = {"success": True, "duration_s": 12.0, "stages": {"grasped": 3.0}, "seed": 1}


@pytest.fixture(scope="module")
def task():
    return load_task("towel_fold")


@pytest.fixture(scope="module")
def evaluation(robot, task):
    sides = [Side("A", "<new>", {"policy_sha256": "a" * 64}), Side("B", "old", {"policy_sha256": "b" * 64})]
    for number, endings in enumerate(zip((SUCCESS, SUCCESS, STOPPED), (TIMEOUT, SUCCESS, TIMEOUT), strict=True), 1):
        for side, ending in zip(sides, endings, strict=True):
            side.add(kept_of(report_support.attempt(robot, 7 + number, *ending), side.name, number))
    verdict = Verdict(Decision.NOT_SHOWN, 3, 2, 1)
    return Evaluation(task, robot.name, sides, {"pace": "lockstep"}, True, "", Question(), verdict)


@pytest.fixture(scope="module")
def folder(evaluation, tmp_path_factory):
    place = tmp_path_factory.mktemp("eval")
    write_evaluation(place, evaluation)
    return place


def test_the_figures_of_each_policy_are_in_the_file(folder, task):
    data = json.loads((folder / "eval.json").read_text())
    a, b = data["policies"]["A"], data["policies"]["B"]
    assert (a["successes"], a["trials"], b["successes"]) == (2, 3, 1)
    assert a["time_to_success_s_p50"] == 4.0
    assert a["restricted_mean_time_s_mean"] == pytest.approx((4 + 4 + task.timeout_s) / 3)
    assert b["stage__lifted"] == 1.0
    assert b["stage__released"] == pytest.approx(1 / 3)
    assert (a["failed__camera_stale"], b["failed__timeout"]) == (1, 2)
    assert a["motion__seam_step_rad_max"] == 0.0004
    assert 180 < a["latency_ms_p50"] < 200
    assert data["decision"] == "not_shown"
    assert [t["seed"] for t in data["trials"]] == [8, 9, 10, 8, 9, 10]


def test_failures_leave_their_last_pictures(folder, robot):
    names = {path.name for path in (folder / "failures").iterdir()}
    expected = {("A", 3, 10), ("B", 1, 8), ("B", 3, 10)}
    assert names == {f"{p}-{n:04d}-seed-{s}-{c.name}.jpg" for p, n, s in expected for c in robot.cameras}


def test_the_page_needs_nothing_else_and_says_what_matters(folder):
    page = (folder / "evaluation.html").read_text()
    assert not re.search(r'(?:src|href)="(?!data:|#)', page)
    assert "A was not shown to be better than B: A 2 and B 1 of 3 each" in page
    assert "camera_stale" in page
    assert "a" * 64 in page
    assert "<new>" not in page
    assert page.count("<figcaption>") == 3


def test_who_must_not_know_the_policy_sees_neither_name_nor_figures(robot):
    screen = io.StringIO()
    run = report_support.run(robot, [SUCCESS])
    listener = Blinded(Progress(Console(file=screen)), "policy 2")
    listener.begins(run.setup)
    listener.waiting("cameras")
    listener.moment(Moment(1, 0, "RUNNING", {}, 0.1, 0.2, {"policy": {"latency_ms_p50": 123.4}}))
    listener.ended(1, run.attempts[0])
    said = screen.getvalue()
    assert "policy 2" in said
    assert run.setup.policy not in said
    assert "123" not in said


def test_an_identity_follows_every_value_that_matters(robot, task):
    policy = load_policy("hold")
    one = identity_of(robot, task, policy)
    assert one == identity_of(robot, task, load_policy("hold"))
    other = identity_of(robot, dataclasses.replace(task, timeout_s=19.0), dataclasses.replace(policy, horizon=31))
    assert {key for key in one if one[key] != other[key]} == {"task_sha256", "policy_sha256"}


def test_trials_that_were_written_down_are_there_again_but_for_a_line_that_was_cut_off(tmp_path, robot):
    said = {"pace": "lockstep", "A": {"policy": "mine", "policy_sha256": "a"}}
    log, begun = TrialLog(tmp_path / "out", said), tmp_path / "out" / LOG
    made = [
        kept_of(report_support.attempt(robot, 7 + n, *ending), "A", n) for n, ending in enumerate((SUCCESS, TIMEOUT), 1)
    ]
    for kept in made:
        log.add(kept)
    whole = begun.read_bytes()
    begun.write_bytes(whole + whole[-40:-1])
    again = TrialLog(tmp_path / "out", said)
    assert again.kept == made
    assert begun.read_bytes() == whole
    sides = [Side("A", "mine"), Side("A", "mine")]
    for kept, read in zip(made, again.kept, strict=True):
        sides[0].add(kept)
        sides[1].add(read)
    assert sides[0] == sides[1]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"A": {"policy": "mine", "policy_sha256": "b"}}, ": A: policy_sha256: expected a, got b"),
        ({"pace": "realtime"}, ": pace: expected lockstep, got realtime"),
        ({"first_seed": 3}, ": first_seed: expected None, got 3"),
    ],
)
def test_an_evaluation_goes_on_only_as_what_it_was(tmp_path, changes, sentence):
    said = {"pace": "lockstep", "A": {"policy": "mine", "policy_sha256": "a"}}
    TrialLog(tmp_path, said)
    with pytest.raises(ConfigError, match=re.escape(sentence)):
        TrialLog(tmp_path, said | changes)


def marks_file(tmp_path, *trials, policies=("mine",), **more):
    names = dict(zip("AB", policies, strict=False))
    data = {"task": "towel_fold", "policies": names, "trials": list(trials)} | more
    path = tmp_path / "marks.yaml"
    path.write_text(yaml.safe_dump(data))
    return path


def test_marked_trials_become_the_same_report(tmp_path, capsys):
    pairs = [{**MARKED, "policy": "A"}, {"success": False, "duration_s": 9.0, "policy": "B", "seed": 1, "note": "fell"}]
    path = marks_file(tmp_path, *(pairs * 9), policies=("mine", "theirs"))
    out = tmp_path / "out"
    assert cli.main(["eval", "towel_fold", "--marks", str(path), "--out", str(out)]) == 0
    data = json.loads((out / "eval.json").read_text())
    assert data["decision"] == "better"
    assert data["policies"]["B"]["failed__fell"] == 9
    assert data["policies"]["A"]["stage__released"] == 1.0
    assert "A is better than B" in capsys.readouterr().out
    assert (out / "evaluation.html").is_file()


def test_a_comparison_of_few_marks_stays_open(tmp_path):
    path = marks_file(tmp_path, MARKED, {**MARKED, "policy": "B"}, policies=("mine", "theirs"))
    assert cli.main(["eval", "towel_fold", "--marks", str(path), "--out", str(tmp_path / "out")]) == 1


@pytest.mark.parametrize(
    ("trial", "sentence"),
    [
        (
            {**MARKED, "stages": {"folded": 2.0}},
            "trial 1: stage: expected grasped, lifted, aligned, released, got folded",
        ),
        ({**MARKED, "stages": {"grasped": 13.0}}, "trial 1: time of stage grasped: expected 0 to 12 s, got 13 s"),
        ({**MARKED, "policy": "B"}, "trial 1: policy: expected A, got B"),
        ({**MARKED, "duration_s": 21.0}, "trial 1: expected a success within 20 s, got 21 s"),
        ({**MARKED, "duration_s": 0.0, "stages": {}}, "trial 1: duration_s: expected above 0"),
        ({**MARKED, "mark": 1}, "mark: expected one of"),
    ],
)
def test_marks_that_cannot_be_are_refused_in_a_sentence(tmp_path, capsys, trial, sentence):
    path = marks_file(tmp_path, trial)
    assert cli.main(["eval", "towel_fold", "--marks", str(path), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_marks_of_another_task_without_trials_or_with_other_names_are_refused(tmp_path, task):
    for given, sentence in (
        ({"task": "pack"}, "task: expected towel_fold, got pack"),
        ({"trials": []}, "trials: expected one or more"),
        ({"policies": {}}, "policies: expected A, or A and B"),
    ):
        path = marks_file(tmp_path, MARKED, **given)
        with pytest.raises(ConfigError, match=sentence):
            read_marks(path, task)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_marks(tmp_path / "none.yaml", task)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--policy", "hold", "--against", "hold"], "--against: expected another policy, got the same one"),
        (["--set-against", "policy.rate_hz=10"], "--set-against: expected a policy to compare with"),
        (["--against", "hold", "--tell-apart", "0.9", "0.6"], "rates to tell apart: expected"),
        (["--episodes", "-1"], "--episodes and --block: expected 1 or more"),
        (["--policy", "nobody"], "policies: expected one of"),
        (["--against", "hold", "--order-seed", "-4"], "--order-seed: expected 0 or more"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_before_anything_starts(tmp_path, capsys, words, sentence):
    out = tmp_path / "out"
    assert cli.main(["eval", "towel_fold", "--out", str(out), *words]) == 2
    assert sentence in capsys.readouterr().err
    assert not out.exists()
