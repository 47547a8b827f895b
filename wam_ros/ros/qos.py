# SPDX-License-Identifier: Apache-2.0
"""The five quality-of-service profiles. Every publisher and subscription uses one of them.

Cameras are best effort and shallow: reliable delivery with a deep queue hides loss as 150 to 250 ms of
stale pictures, and a stale picture is worse than none.
"""

from __future__ import annotations

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy


def _profile(depth: int, reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> QoSProfile:
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability)


def newest(profile: QoSProfile) -> QoSProfile:
    """Return a profile that keeps the newest message only."""
    return _profile(1, profile.reliability, profile.durability)


def deeper(depth: int) -> QoSProfile:
    """Return a profile that hears every publisher and keeps that many messages, for those who count them."""
    return _profile(depth, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)


#: Pictures: the newest or nothing.
SENSOR = _profile(2, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)
#: Joint feedback: deep enough that a busy subscriber keeps the neighbours it interpolates between.
STATE = _profile(10, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)
#: Chunks and committed trajectories; late joiners must not receive old motion.
COMMAND = _profile(10, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
#: State that a late joiner needs at once.
LATCHED = _profile(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
#: Rare messages of which none may be lost.
EVENT = _profile(10, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)
