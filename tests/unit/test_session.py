# SPDX-License-Identifier: Apache-2.0
"""A session keeps a rhythm that hides the latency, or refuses to begin and says what would help."""

import dataclasses
import threading

import numpy as np

from wam_ros.core.errors import ConfigError
from wam_ros.core.types import Trajectory
from wam_ros.files.assets import load_policy, load_robot, load_task
from wam_ros.policies.session import Latency, Session


def settled(declared_ns, task=None, policy=None, alone=True):
    """A session whose worker has become ready or has failed."""
    changed = threading.Event()
    task, policy = task or load_task("towel_fold"), policy or load_policy("hold")
    session = Session(load_robot("sim_r1_lite"), task, policy, Latency(declared_ns, alone), on_change=changed.set)
    assert changed.wait(10)
    session.worker.close()
    return session


def test_the_stride_is_the_policys_where_that_hides_the_latency():
    assert settled(190_000_000).rhythm.stride_rows == 8


def test_a_long_latency_stretches_the_stride_to_what_passes_meanwhile():
    rhythm = settled(800_000_000).rhythm
    assert (rhythm.delay_rows, rhythm.stride_rows) == (12, 12)


def test_a_latency_that_no_stride_hides_is_refused_with_what_would_help():
    session = settled(1_200_000_000)
    assert session.failed
    assert isinstance(session.worker.error, ConfigError)
    for help_ in ("lower rate_hz", "slower motion", "wait"):
        assert help_ in str(session.worker.error)


def test_a_task_that_waits_for_each_chunk_takes_any_latency():
    waiting = dataclasses.replace(load_task("towel_fold"), method="wait")
    session = settled(5_000_000_000, task=waiting)
    assert not session.failed
    assert session.rhythm is None


def test_in_realtime_the_latency_that_was_declared_is_the_least_that_counts():
    fast = dataclasses.replace(load_policy("hold"), rate_hz=30.0)
    assert settled(800_000_000, policy=fast, alone=False).failed
    assert settled(0, policy=fast, alone=False).rhythm.delay_rows <= 1


def said_at(stamp_ns):
    rest = np.zeros((1, 1))
    return Trajectory(("a",), (stamp_ns,), rest, rest, rest)


def test_a_plan_is_known_when_motion_cannot_have_said_a_newer_one():
    session = settled(190_000_000)
    assert session.knows_committed(10**10), "nothing has been said since it was armed"
    session.committed = said_at(10**10)
    pace_ns, tick_ns = 150_000_000, 10_000_000
    assert session.knows_committed(10**10 + pace_ns)
    assert not session.knows_committed(10**10 + pace_ns + tick_ns)
    session.reset()
    assert session.knows_committed(10**11)


def test_in_lockstep_the_delay_is_the_declared_one_even_if_it_is_none():
    assert {settled(0)._delay_s(), settled(0, alone=True)._delay_s()} == {0.0}
