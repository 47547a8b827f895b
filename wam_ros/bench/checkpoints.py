# SPDX-License-Identifier: Apache-2.0
"""How often, and how soon, checkpoints do the task on the twin: variants side by side, or one policy's figures.

Every checkpoint gets the same attempts, in one process each and without ROS; motion joins the chunks as on a robot and
latency is declared. Attempts go into ``--trials`` as they are made, and what is there is not made again, unless it
was made by other weights, in another setting or by other code. Checkpoints of one variant, trained from several
seeds, are pooled under its name; each also stands alone under its folder's.
"""

from __future__ import annotations

import json
import multiprocessing
from argparse import ArgumentParser, Namespace
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.progress import track

from wam_ros.bench.closed_loop import TASK, Stand, bench_stand
from wam_ros.core.errors import ConfigError, mismatch
from wam_ros.core.trials.statistics import Trial, restricted_mean_time, share
from wam_ros.files.assets import load_task
from wam_ros.files.card import read_card
from wam_ros.files.identity import code_sha256
from wam_ros.policies.session import bound_threads
from wam_ros.sim.disturbance import QUIET, Disturbance
from wam_ros.sim.randomisation import NOMINAL, VARIED

BLOCK = 5
"""Attempts that a process makes at a stretch; between them it may change the checkpoint."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this bench takes."""
    add = parser.add_argument
    add("--checkpoints", nargs="+", type=Path, required=True, metavar="FOLDER", help="with cards, as wam train leaves")
    add("--task", default=TASK, help=f"name or YAML path (default: {TASK})")
    add("--policy", default="", help="name or YAML path (default: the task's)")
    add("--episodes", type=int, default=100, help="attempts of each checkpoint (default: 100)")
    add("--seed", type=int, default=1000, help="of the first attempt (default: 1000)")
    add("--latency-ms", type=float, default=190, help="declared inference latency (default: 190)")
    add("--randomise", action="store_true", help="colours, light, cameras, friction of each attempt's twin")
    add("--disturb", action="store_true", help="push the workpiece and let one grip of each attempt slip")
    add("--workers", type=int, default=1, help="processes (default: 1)")
    add("--trials", type=Path, metavar="FILE", help="JSON lines to go on from")


@dataclass(frozen=True)
class Setting:
    """What an attempt is made with, but for its seed; a file that does not say which code is of other code."""

    task: str
    policy: str
    checkpoint: str
    weights_sha256: str
    latency_s: float
    randomise: bool
    disturb: bool
    code_sha256: str = ""


@dataclass(frozen=True)
class Made:
    """An attempt; ``progress`` is that of its end, ``time_s`` the task's limit where it failed."""

    setting: Setting
    seed: int
    success: bool
    progress: float
    time_s: float


def run(options: Namespace) -> dict[str, float | str]:
    """Return success with its Wilson interval, mean progress, and mean time with failures as the task's limit.

    Raises:
        ConfigError: a folder that is no checkpoint, or counts below one.
    """
    if options.episodes < 1 or options.workers < 1:
        got = f"{options.episodes} and {options.workers}"
        raise ConfigError(mismatch("--episodes and --workers", "1 or more", got, "give positive numbers"))
    cards = {str(folder): read_card(folder) for folder in options.checkpoints}
    code = code_sha256()
    wanted = {
        (
            Setting(
                options.task,
                options.policy,
                folder,
                card.weights_sha256,
                options.latency_ms / 1e3,
                options.randomise,
                options.disturb,
                code,
            ),
            seed,
        )
        for folder, card in cards.items()
        for seed in range(options.seed, options.seed + options.episodes)
    }
    made = [trial for trial in _known(options.trials) if (trial.setting, trial.seed) in wanted]
    for trial in _attempts(wanted - {(trial.setting, trial.seed) for trial in made}, options.workers):
        made.append(trial)
        _keep(options.trials, trial)
    groups: dict[str, list[Made]] = {}
    for trial in made:
        folder = trial.setting.checkpoint
        for name in dict.fromkeys((cards[folder].variant, Path(folder).name)):
            groups.setdefault(name, []).append(trial)
    limit_s = load_task(options.task).timeout_s
    return {f"{key}__{name}": x for name, group in groups.items() for key, x in _figures(group, limit_s).items()}


def _figures(made: Sequence[Made], limit_s: float) -> dict[str, float]:
    success = share(m.success for m in made)
    trials = [Trial("", n, m.seed, m.success, m.progress, {}, m.time_s) for n, m in enumerate(made, 1)]
    time = restricted_mean_time(trials, limit_s)
    figures = {"trials": len(made), "success": success.rate, "success_low": success.low, "success_high": success.high}
    figures["progress"] = sum(m.progress for m in made) / len(made)
    bounds = {"time_s": time.value, "time_s_low": time.low, "time_s_high": time.high}
    return {key: float(x) for key, x in {**figures, **bounds}.items() if x is not None}


def _known(path: Path | None) -> list[Made]:
    if path is None or not path.exists():
        return []
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [Made(Setting(**row.pop("setting")), **row) for row in rows]


def _keep(path: Path | None, trial: Made) -> None:
    if path is not None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(trial)) + "\n")


def _attempts(missing: Collection[tuple[Setting, int]], workers: int) -> Iterator[Made]:
    seeds: dict[Setting, list[int]] = {}
    for setting, seed in sorted(missing, key=lambda attempt: (attempt[1], attempt[0].checkpoint)):
        seeds.setdefault(setting, []).append(seed)
    blocks = [(one, all_[n : n + BLOCK]) for one, all_ in seeds.items() for n in range(0, len(all_), BLOCK)]
    context = multiprocessing.get_context("spawn")  # renderers do not survive a fork
    with ProcessPoolExecutor(workers, context) as pool:
        under_way = [pool.submit(_play, *block) for block in blocks]
        for block in track(as_completed(under_way), "attempts", len(under_way)):
            yield from block.result()


# -- in the processes ----------------------------------------------------------------------


def _play(setting: Setting, seeds: Sequence[int]) -> list[Made]:
    bound_threads(1)
    with bench_stand(setting.policy, 0.0, setting.task, checkpoint=setting.checkpoint) as stand:
        stand.world.randomisation = VARIED if setting.randomise else NOMINAL
        stand.world.disturbance = Disturbance() if setting.disturb else QUIET
        return [_one(stand, setting, seed) for seed in seeds]


def _one(stand: Stand, setting: Setting, seed: int) -> Made:
    trial = stand.fold("governed", setting.latency_s, seed)
    return Made(setting, seed, trial.success, trial.progress, trial.time_s)
