# SPDX-License-Identifier: Apache-2.0
"""What a driver was seen to do for some seconds, held against the robot's description: what is good, and what cures the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from wam_ros.core.joint_topics import JointTopic, command_topics, feedback_topics
from wam_ros.core.robot import Camera, Robot, Stream
from wam_ros.core.types import FloatArray

#: A stream slower than this share of its nominal rate is too slow.
SLOW = 0.8
#: Farther from our clock than this, a stamp is another clock's [s].
AHEAD_S, BEHIND_S = 0.1, 0.5
#: An arm that turned by this much moved [rad]; less than a quarter of it, it stood.
MOVED_RAD = 0.1


@dataclass(frozen=True)
class Finding:
    """What was looked at, how it is, and the line that cures it where it is not good."""

    what: str
    ok: bool
    detail: str
    cure: str = ""


@dataclass(frozen=True)
class Seen:
    """What was seen of a topic.

    Attributes:
        publishers, subscribers: names of the nodes on it.
        types: of its publishers.
        count: messages heard in ``span_s``.
        rate_hz: by their arrival.
        lag_s: arrival less stamp, in the middle; None where stamps are empty.
        size: of the newest: ``6 values``, ``640x360``.
        fault: why the newest is not believed; empty when it is.
        moved: radians by which joints turned, or mean change of a picture [levels].
    """

    publishers: tuple[str, ...] = ()
    subscribers: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    count: int = 0
    rate_hz: float = 0.0
    lag_s: float | None = None
    size: str = ""
    fault: str = ""
    moved: float = 0.0


NOTHING = Seen()

#: What a joint_trajectory_controller is asked about itself.
ASKED = ("joints", "command_interfaces", "interpolation_method", "allow_partial_joints_goal")
#: Its answers; None when there is none.
Answers = Mapping[str, object]


@dataclass(frozen=True)
class Where:
    """Where it was looked: the ROS domain, and other domains in which the robot's topics were found."""

    domain: int = 0
    elsewhere: Sequence[int] = field(default_factory=tuple)


def inspect(
    robot: Robot, seen: Mapping[str, Seen], where: Where, controllers: Mapping[str, Answers | None] | None = None
) -> list[Finding]:
    """Return what is good and what is not.

    Args:
        robot: as it is described.
        seen: topic name to what was seen of it.
        where: it was looked.
        controllers: command topic to what the controller behind it says of itself.
    """
    expected = [t.stream.topic for t in feedback_topics(robot)] + [n for c in robot.cameras for n in c.color_topics]
    if not any(seen.get(topic, NOTHING).publishers for topic in expected):
        return [_nobody(robot, where)]
    found = [_feedback(robot, topic, seen.get(topic.stream.topic, NOTHING)) for topic in feedback_topics(robot)]
    found += [_command(robot, topic.stream, seen.get(topic.stream.topic, NOTHING)) for topic in command_topics(robot)]
    for topic in command_topics(robot):
        if topic.stream.topic in (controllers or {}):
            found.append(_controller(topic, (controllers or {})[topic.stream.topic]))
    found += [finding for camera in robot.cameras for finding in _camera(robot, camera, seen)]
    return [*found, *_carriers(robot, seen)]


def _nobody(robot: Robot, where: Where) -> Finding:
    what = f"robot {robot.name}"
    if where.elsewhere:
        text = f"silent in ROS domain {where.domain}, but found in {', '.join(map(str, where.elsewhere))}"
        return Finding(what, False, text, f"export ROS_DOMAIN_ID={where.elsewhere[0]}")
    cure = (
        "start its driver; then on the robot: echo $ROS_DOMAIN_ID $ROS_LOCALHOST_ONLY $ROS_AUTOMATIC_DISCOVERY_RANGE, "
        "and here: export ROS_DOMAIN_ID=THAT; if both agree, ping the robot and look for a discovery server"
    )
    return Finding(what, False, f"nobody speaks on any of its topics in ROS domain {where.domain}", cure)


def _feedback(robot: Robot, topic: JointTopic, seen: Seen) -> Finding:
    return _stream(robot, f"feedback of {topic.name}", topic.stream.topic, topic.stream.rate_hz, seen)


def _camera(robot: Robot, camera: Camera, seen: Mapping[str, Seen]) -> Iterator[Finding]:
    speaking = [name for name in camera.color_topics if seen.get(name, NOTHING).publishers]
    what = f"camera {camera.name}"
    if len(speaking) > 1:
        cure = f"end one of the two drivers, or name one topic: --set robot.cameras.{robot.cameras.index(camera)}.color_else=[]"
        yield Finding(what, False, f"{' and '.join(speaking)} both speak", cure)
    name = (speaking or [camera.color])[0]
    yield _stream(robot, what, name, camera.rate_hz, seen.get(name, NOTHING))
    if camera.depth and not seen.get(camera.depth, NOTHING).publishers:
        yield Finding(f"depth of {camera.name}", True, f"nobody on {camera.depth}; views come without depth")


def _stream(robot: Robot, what: str, name: str, nominal_hz: float, seen: Seen) -> Finding:
    if not seen.publishers:
        return Finding(
            what, False, f"nobody publishes {name}", "start its driver, or correct the topic in the robot file"
        )
    detail = f"{seen.rate_hz:.0f} Hz of {nominal_hz:g}, {seen.size}, {_lag(seen)}, {name}"
    if not seen.count:
        kinds = ", ".join(seen.types)
        cure = (
            f"its type is {kinds}: correct kind, message or transport in the robot file, or see what its driver lacks"
        )
        return Finding(what, False, f"{name} has a publisher, but nothing is heard", cure)
    if seen.fault:
        return Finding(what, False, detail, seen.fault)
    if seen.rate_hz < SLOW * nominal_hz:
        cure = f"look at the network and the driver's settings; if {seen.rate_hz:.0f} Hz is right, set rate_hz to it"
        return Finding(what, False, detail, cure)
    cure = _stamps(robot, seen)
    return Finding(what, not cure, detail, cure)


def _lag(seen: Seen) -> str:
    return "without stamps" if seen.lag_s is None else f"stamps {seen.lag_s * 1000:+.0f} ms old"


def _stamps(robot: Robot, seen: Seen) -> str:
    if robot.stamp_source == "receive":
        return ""
    if seen.lag_s is None:
        return "let the driver stamp its messages, or set stamp_source: receive in the robot file"
    if -AHEAD_S < seen.lag_s < BEHIND_S:
        return ""
    return "synchronise the clocks of both computers (sudo apt-get install chrony), or set stamp_source: receive"


def _command(robot: Robot, stream: Stream, seen: Seen) -> Finding:
    what = f"commands on {stream.topic}"
    others = [name for name in seen.publishers if name not in robot.idle_publishers]
    if others:
        spoke = f"{seen.count} messages heard" if seen.count else "silent so far"
        cure = f"end {', '.join(others)}" + (
            "" if seen.count else f"; if it never speaks: --set robot.idle_publishers='[{', '.join(others)}]'"
        )
        return Finding(what, False, f"published by {', '.join(others)}, {spoke}", cure)
    if not seen.subscribers:
        return Finding(what, False, "nobody listens", "start the driver's arm controllers, or correct the topic")
    return Finding(what, True, f"heard by {', '.join(seen.subscribers)}, published by nobody else")


def controller_of(stream: Stream) -> str:
    """Return the node that listens on a controller's topic."""
    return stream.topic.rpartition("/")[0]


def _controller(topic: JointTopic, said: Answers | None) -> Finding:
    name = controller_of(topic.stream)
    what = f"controller {name}"
    if said is None:
        return Finding(what, False, "does not answer", f"ros2 control switch_controllers --activate {name.lstrip('/')}")
    joints, faces = (tuple(map(str, _listed(said.get(key)))) for key in ("joints", "command_interfaces"))
    detail = f"{len(joints)} joints, {' and '.join(faces)}, {said.get('interpolation_method', 'splines')}"
    missing = [joint for joint in topic.joints if joint not in joints]
    if missing:
        return Finding(
            what, False, detail, f"it moves {', '.join(joints)}, not {', '.join(missing)}: correct one of both"
        )
    if len(joints) > len(topic.joints) and not said.get("allow_partial_joints_goal"):
        return Finding(what, False, detail, "set its parameter allow_partial_joints_goal, or command all of its joints")
    if "position" not in faces:
        return Finding(what, False, detail, "give it the command interface position")
    if said.get("interpolation_method") == "none":
        return Finding(
            what, False, detail, "set its parameter interpolation_method to splines: without, it jumps from row to row"
        )
    return Finding(what, True, detail)


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list | tuple) else ()


def _carriers(robot: Robot, seen: Mapping[str, Seen]) -> Iterator[Finding]:
    """Hold cameras against the arm that moved, if one did."""
    turned = {arm.name: seen.get(arm.state.topic, NOTHING).moved for arm in robot.arms}
    changed = {c.name: max(seen.get(n, NOTHING).moved for n in c.color_topics) for c in robot.cameras if c.arm}
    mover = max(turned, key=lambda name: turned[name])
    still = [name for name in turned if name != mover]
    if turned[mover] < MOVED_RAD or any(turned[name] > MOVED_RAD / 4 for name in still):
        yield Finding(
            "cameras on their arms", True, "not checked: move one arm by hand while this looks, then the other"
        )
        return
    liveliest = robot.camera(max(changed, key=lambda name: changed[name]))
    if liveliest.arm == mover:
        yield Finding("cameras on their arms", True, f"{mover} moved, and so did what {liveliest.name} sees")
        return
    carried = " and ".join(c.name for c in robot.cameras if c.arm == mover)
    cure = f"swap the topics of {carried} and {liveliest.name} in the robot file, or their serial numbers in the driver"
    yield Finding("cameras on their arms", False, f"{mover} moved, but {liveliest.name} saw it", cure)


def turned_rad(positions: Sequence[FloatArray]) -> float:
    """Return the largest range of a joint over (N) samples of (n,) positions."""
    return float(np.ptp(np.array(positions), axis=0).max(initial=0.0)) if len(positions) > 1 else 0.0
