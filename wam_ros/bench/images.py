# SPDX-License-Identifier: Apache-2.0
"""What pictures cost on their way: message to numpy and back, stitching, depth to points.

Every figure stands beside its floor of the same run, the two timed in turns so that both see the same machine.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from time import perf_counter

import numpy as np

from wam_ros.core.policy import Cell, Mosaic
from wam_ros.core.stitch import stitch, unstitch
from wam_ros.core.transforms import exp
from wam_ros.core.types import ByteImage, DepthImage, FloatArray
from wam_ros.ros.convert import color_from_msg, image_to_msg
from wam_ros.vision.cloud import FusedCloud, Rays
from wam_ros.vision.resize import resize

ROUNDS = 300
MOSAIC = Mosaic(
    height=384,
    width=320,
    cells=(
        Cell("head", 0, 0, 256, 320),
        Cell("left", 256, 0, 128, 160),
        Cell("right", 256, 160, 128, 160),
    ),
)


def run(options: Namespace | None = None) -> dict[str, float | str]:
    """Return the keys of the bench ``images``: medians and 99th percentiles [us] at 640x480."""
    rng = np.random.default_rng(0)
    image: ByteImage = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    depth_m: DepthImage = rng.uniform(0.0, 3.0, (480, 640)).astype(np.float32)
    return {**_messages(image), **_stitching(image), **_cloud(depth_m), **_fused(depth_m)}


def _messages(image: ByteImage) -> dict[str, float | str]:
    msg = image_to_msg(image, "rgb8", 0, "camera")
    read = color_from_msg(msg)
    target = np.empty_like(image)
    figures = _in_turns(
        memcpy_us_480p=lambda: np.copyto(target, image),
        to_numpy_us_480p=lambda: color_from_msg(msg),
        from_numpy_us_480p=lambda: image_to_msg(image, "rgb8", 0, "camera"),
    )
    figures["read_copies"] = float(not np.shares_memory(read, np.frombuffer(msg.data, np.uint8)))
    figures["read_differs"] = float(not np.array_equal(read, image))
    figures["from_numpy_ratio"] = figures["from_numpy_us_480p"] / figures["memcpy_us_480p"]
    return {**figures}


def _stitching(image: ByteImage) -> dict[str, float | str]:
    views = {cell.camera: image for cell in MOSAIC.cells}
    mosaic = np.zeros((MOSAIC.height, MOSAIC.width, 3), np.uint8)
    bare = {cell.camera: np.empty((cell.height, cell.width, 3), np.uint8) for cell in MOSAIC.cells}

    def resizes() -> None:
        for cell in MOSAIC.cells:
            resize(image, cell.height, cell.width, MOSAIC.resize, bare[cell.camera])

    figures = _in_turns(resize_floor_us=resizes, stitch_us=lambda: stitch(MOSAIC, views, resize, mosaic))
    figures["stitch_ratio"] = figures["stitch_us"] / figures["resize_floor_us"]
    cut = unstitch(MOSAIC, mosaic)
    figures["stitch_differs"] = float(any(not np.array_equal(cut[name], bare[name]) for name in bare))
    return {**figures}


def _cloud(depth_m: DepthImage) -> dict[str, float | str]:
    height, width = depth_m.shape
    intrinsics = np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]])
    rays = Rays(intrinsics, height, width)
    out = np.empty((height * width, 3), np.float32)
    rows, columns = np.indices((height, width), dtype=np.float32)
    unit = np.stack([(columns - 319.5) / 600, (rows - 239.5) / 600, np.ones_like(rows)], axis=-1)  # (H, W, 3)
    target = np.empty_like(unit)
    figures = _in_turns(
        cloud_floor_us=lambda: np.copyto(target, unit),
        cloud_us_480p=lambda: rays.points(depth_m, out),
    )
    expected = (unit * depth_m[:, :, None]).reshape(-1, 3)
    known = depth_m.ravel() > 0
    figures["cloud_error_m"] = float(np.abs(out - expected)[known].max())
    figures["cloud_ratio"] = figures["cloud_us_480p"] / figures["cloud_floor_us"]
    return {**figures}


def _fused(depth_m: DepthImage) -> dict[str, float | str]:
    """Three cameras in one frame; the floor multiplies rays that are turned already by the depth, and shifts them."""
    height, width = depth_m.shape
    intrinsics = np.array([[390.0, 0.0, 319.5], [0.0, 390.0, 239.5], [0.0, 0.0, 1.0]])
    poses = {cell.camera: _pose(n) for n, cell in enumerate(MOSAIC.cells)}
    cloud = FusedCloud({name: Rays(intrinsics, height, width) for name in poses})
    depths = dict.fromkeys(poses, depth_m)
    rows, columns = np.indices((height, width))
    unit = np.stack([(columns - 319.5) / 390, (rows - 239.5) / 390, np.ones((height, width))], axis=-1)
    turned = [(unit @ T[:3, :3].T).astype(np.float32) for T in poses.values()]
    shifts = [T[:3, 3].astype(np.float32) for T in poses.values()]
    target = np.empty((len(poses), height, width, 3), np.float32)

    def floor() -> None:
        for part, rays, shift in zip(target, turned, shifts, strict=True):
            np.multiply(rays, depth_m[:, :, None], out=part)
            np.add(part, shift, out=part)

    figures = _in_turns(fused_floor_us=floor, fused_us_480p=lambda: cloud.fuse(depths, poses))
    known = np.tile(depth_m.ravel() > 0, len(poses))
    error_m = np.abs(cloud.fuse(depths, poses) - target.reshape(-1, 3))[known].max()
    figures["fused_error_m"] = float(error_m)
    figures["fused_ratio"] = figures["fused_us_480p"] / figures["fused_floor_us"]
    return {**figures}


def _pose(n: int) -> FloatArray:
    return exp(np.array([0.1 * n, 0.2, 0.5, 2.0, 0.3 * n, -0.2]))


def _in_turns(**works: Callable[[], object]) -> dict[str, float]:
    """Return the median of each work [us] under its name, and its 99th percentile with ``_p99``."""
    times_s: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            begin_s = perf_counter()
            work()
            times_s[name].append(perf_counter() - begin_s)
    medians = {name: float(np.median(values)) * 1e6 for name, values in times_s.items()}
    tails = {f"{name}_p99": float(np.percentile(values, 99)) * 1e6 for name, values in times_s.items()}
    return medians | tails
