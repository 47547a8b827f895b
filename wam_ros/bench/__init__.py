# SPDX-License-Identifier: Apache-2.0
"""Benchmarks behind wam bench NAME: flat keys, ratios to a floor of the same run.

Each module has ``run(options) -> dict[str, float | str]``; ``options`` is the parsed command line.
"""

BENCHES: dict[str, str] = {
    "sync": "wam_ros.bench.sync",
    "images": "wam_ros.bench.images",
    "runtime": "wam_ros.bench.runtime",
    "drivers": "wam_ros.bench.drivers",
    "seams": "wam_ros.bench.seams",
    "model": "wam_ros.bench.model",
    "imagination": "wam_ros.bench.imagination",
    "recorder": "wam_ros.bench.recorder",
    "durability": "wam_ros.bench.durability",
    "handeye": "wam_ros.bench.handeye",
    "drift": "wam_ros.bench.drift",
    "evaluation": "wam_ros.bench.evaluation",
    "checkpoints": "wam_ros.bench.checkpoints",
}
