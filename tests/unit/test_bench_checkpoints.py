# SPDX-License-Identifier: Apache-2.0
"""Figures of checkpoints: which attempts count, and that none is made twice."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")
from tests.checkpoint_support import random_checkpoint
from wam_ros.bench.checkpoints import Made, Setting, add_arguments, run
from wam_ros.core.errors import ConfigError
from wam_ros.core.trials.statistics import wilson_interval
from wam_ros.files.identity import code_sha256

POLICY = "fastwam_towel_tiny"


def figures(*given: object) -> dict[str, float | str]:
    parser = ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([*map(str, given), "--policy", POLICY]))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("checkpoints")
    made = [root / "first", root / "second", root / "other"]
    for seed, folder in enumerate(made):
        random_checkpoint(folder, seed=seed, variant="joint" if folder.name == "other" else "main")
    return made


def trials(path: Path, folder: Path, successes: int, of: int, **changes: object) -> None:
    weights = json.loads((folder / "card.json").read_text())["weights_sha256"]
    setting = {
        "task": "towel_fold",
        "policy": POLICY,
        "checkpoint": str(folder),
        "weights_sha256": weights,
        "latency_s": 0.19,
        "code_sha256": code_sha256(),
    }
    of_all = Setting(**{**setting, "randomise": False, "disturb": False, **changes})  # type: ignore[arg-type]
    rows = [Made(of_all, 1000 + n, n < successes, *((1.0, 5.0) if n < successes else (0.5, 20.0))) for n in range(of)]
    with path.open("a") as file:
        file.writelines(json.dumps(asdict(row)) + "\n" for row in rows)


def test_seeds_of_a_variant_are_pooled_and_nothing_that_is_known_is_made_again(
    folders: list[Path], tmp_path: Path
) -> None:
    known = tmp_path / "trials.jsonl"
    for folder, successes in zip(folders, (8, 6, 3), strict=True):
        trials(known, folder, successes, 10)
    before = known.read_text()
    found = figures("--checkpoints", *folders, "--episodes", 10, "--trials", known)
    assert known.read_text() == before
    assert (found["trials__main"], found["success__main"]) == (20, 0.7)
    assert (found["success_low__main"], found["success_high__main"]) == wilson_interval(14, 20)
    assert found["time_s__main"] == pytest.approx((14 * 5 + 6 * 20) / 20)
    assert found["progress__main"] == pytest.approx((14 + 6 * 0.5) / 20)
    assert (found["success__first"], found["success__second"], found["success__joint"]) == (0.8, 0.6, 0.3)


def test_attempts_of_other_weights_settings_code_or_seeds_do_not_count(folders: list[Path], tmp_path: Path) -> None:
    known = tmp_path / "trials.jsonl"
    trials(known, folders[0], 0, 4, weights_sha256="other")
    trials(known, folders[0], 0, 4, latency_s=0.35)
    trials(known, folders[0], 0, 4, disturb=True)
    trials(known, folders[0], 0, 4, task="earphone_pack")
    trials(known, folders[0], 0, 4, code_sha256="of another day")
    trials(known, folders[0], 4, 8)
    found = figures("--checkpoints", folders[0], "--episodes", 4, "--trials", known)
    assert (found["trials__main"], found["success__main"]) == (4, 1.0)


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no card"):
        figures("--checkpoints", tmp_path)
    with pytest.raises(ConfigError, match="1 or more"):
        figures("--checkpoints", tmp_path, "--episodes", 0)
