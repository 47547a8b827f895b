# SPDX-License-Identifier: Apache-2.0
"""What was run, as hashes: two runs with the same ones ran the same descriptions, weights and code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import wam_ros
from wam_ros.core.policy import Policy
from wam_ros.core.robot import Robot
from wam_ros.core.task import Task
from wam_ros.files.card import CARD, checkpoint_folder, parse_card, sha256_of
from wam_ros.files.load import to_data


def identity_of(robot: Robot, task: Task, policy: Policy) -> dict[str, str]:
    """Return the SHA-256 of each description as it is in force, and of checkpoint card and weights where there are any.

    The weights' hash is the card's; backends refuse weights with another one.

    Raises:
        ConfigError: the checkpoint has no card.
    """
    found = {f"{kind}_sha256": _hash(it) for kind, it in (("robot", robot), ("task", task), ("policy", policy))}
    if policy.checkpoint:
        folder = checkpoint_folder(policy)
        card = parse_card(folder)
        found |= {"card_sha256": sha256_of(folder / CARD), "weights_sha256": card.weights_sha256}
    return found


def code_sha256() -> str:
    """Return the SHA-256 of this package's modules, names and contents: a version number says less of a checkout."""
    root, digest = Path(wam_ros.__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def _hash(description: object) -> str:
    return hashlib.sha256(json.dumps(to_data(description), sort_keys=True).encode()).hexdigest()
