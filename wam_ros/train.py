# SPDX-License-Identifier: Apache-2.0
"""``wam train``: from demonstrations to a checkpoint."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``wam train``."""
    add = parser.add_argument
    add("spec", help="a name in config/training, or the path of a YAML file")
    add("--out", type=Path, required=True, help="folder for checkpoint, metrics and plot")
    add("--data", action="append", default=[], metavar="DATASET", help="to learn from; may be repeated")
    add("--from", dest="start", default="", metavar="CHECKPOINT", help="begin with its weights: fine-tune")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="as in train.options.steps=2000")
    add("--samples", action="store_true", help="train nothing: draw what the weights saved last predict")


def learn(options: argparse.Namespace) -> str:
    """Train, or draw samples; returns what came of it.

    Raises:
        WamError: what does not fit, and the remedy.
    """
    from wam_ros.overrides import parse, with_values
    from wam_ros.training.spec import load_spec, show, train

    given = [f"train.demonstrations.datasets={json.dumps(options.data)}"] if options.data else []
    given += [f"train.begin_with={json.dumps(options.start)}"] if options.start else []
    spec = with_values(load_spec(options.spec), [parse(change) for change in [*given, *options.set]])
    if options.samples:
        return str(show(spec, options.out))
    words = ["wam", "train", options.spec, *(word for root in options.data for word in ("--data", root))]
    words += ["--from", options.start] if options.start else []
    words += [word for change in options.set for word in ("--set", change)]
    rows = train(spec, options.out, shlex.join(words))
    last, first = rows[-1], rows[0]
    return f"{options.out}: {last['step']:.0f} steps, action loss {first['action']:.4f} -> {last['action']:.4f}"
