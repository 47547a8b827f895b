# SPDX-License-Identifier: Apache-2.0
"""Everything that LeRobot's own reader finds in a dataset, as a file: for an interpreter that has ``lerobot``, which need not have this package.

python lerobot_reader.py ROOT OUT.npz            reads, frame by frame
python lerobot_reader.py                         prints the version of the format that it reads
"""

import sys
import types
from collections import defaultdict
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

#: Rows of the action that are asked for with each frame, as a trainer does.
WINDOW = 4


def make_do_without_torchvision() -> None:
    """Reading videos needs nothing of it but that it can be imported, and not every torch has one that fits."""
    for name in ("torchvision", "torchvision.transforms"):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__spec__ = ModuleSpec(name, None)
    sys.modules["torchvision"].transforms = sys.modules["torchvision.transforms"]


if find_spec("torchvision") is None:
    make_do_without_torchvision()

from lerobot.datasets.lerobot_dataset import CODEBASE_VERSION, LeRobotDataset


def as_array(value: object) -> np.ndarray:
    """A value of an item; pictures, (3, H, W) of 0 to 1, as (H, W, 3) of 0 to 255."""
    if not isinstance(value, torch.Tensor):
        return np.asarray(value)
    if value.ndim == 3:
        return (value.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    return value.numpy()


def main(root: Path, out: Path) -> None:
    name = {"repo_id": "recorded/here", "root": root, "video_backend": "torchcodec"}
    fps = LeRobotDataset(**name).fps
    dataset = LeRobotDataset(**name, delta_timestamps={"action": [row / fps for row in range(WINDOW)]})
    found = defaultdict(list)
    for number in range(len(dataset)):
        for key, value in dataset[number].items():
            found[key].append(as_array(value))
    last = LeRobotDataset(**name, episodes=[dataset.num_episodes - 1])
    counts = {"episodes": dataset.num_episodes, "fps": fps, "frames_of_last": len(last)}
    np.savez(out, **{key: np.stack(values) for key, values in found.items()}, **counts)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        main(*map(Path, sys.argv[1:]))
    else:
        sys.stdout.write(CODEBASE_VERSION)
