# SPDX-License-Identifier: Apache-2.0
"""What to do about a safety stop: a sentence for each family of cause codes (docs/safety.md says what they mean)."""

from __future__ import annotations

from collections.abc import Mapping

_LATE = "wam doctor measures its rate; a computer that is too busy hears late as well"

#: Family of the code, which is what stands before its colon, to its cure.
CURES: Mapping[str, str] = {
    "OPERATOR": "somebody asked for it; reset when it is clear",
    "CAMERA_STALE": f"its pictures stayed away: {_LATE}",
    "JOINTS_STALE": f"its feedback stayed away: {_LATE}",
    "JOINTS_WRONG": "wam doctor says which joints the driver speaks of; correct the robot file",
    "IMPLAUSIBLE": "look at the joint: degrees, another gripper scale or another zero; wam doctor reads it",
    "NOT_FINITE": "the driver sends numbers that are none; restart it",
    "POLICY_SILENT": "the policy is too slow or hangs; its log and its latency on diagnostics say which",
    "POLICY_FAILED": "the policy's log says why; reset when it reports no error any more",
    "POLICY_INACTIVE": "wait until the policy is ready, or activate it",
    "TELEOP_SILENT": "the teleop node has ended or hangs; its log says why",
    "MOTION_SILENT": "the motion node has ended or hangs; its log says why",
    "MOTION_STALLED": "the computer was too busy for motion; end other programs, or give it a core of its own",
    "MOTION_RESTARTED": "motion was started anew; find out why it ended before",
    "SAFETY_SILENT": "the safety node has ended or hangs; its log says why",
    "SAFETY_STALLED": "the computer was too busy for safety; end other programs, or give it a core of its own",
    "SAFETY_ENDED": "start the safety node again",
    "TRACKING": "something holds the joint, or its driver does not follow: look at the arm before you reset",
    "FOREIGN_PUBLISHER": "end the other node that publishes there; ros2 topic info -v names it",
    "CLOCK_BACK": "simulated time went back: start the graph anew with the simulator",
    "CLOCK_SILENT": "simulated time stands still: is the simulator alive",
}


def cure_of(cause: str) -> str:
    """Return the sentence for a cause code; empty for a code of which nothing is known."""
    return CURES.get(cause.partition(":")[0], "")
