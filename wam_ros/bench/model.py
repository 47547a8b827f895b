# SPDX-License-Identifier: Apache-2.0
"""What a chunk costs: eager, optimised, and the floor that operations and bytes put under it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``wam bench model``."""
    parser.add_argument("--model", default="fastwam", help="fastwam, fastwam_joint, fastwam_idm or xwam")
    parser.add_argument("--size", default="tiny", choices=("tiny", "full"))
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--repeats", type=int, default=40, help="timed chunks of each kind")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--fp8", action="store_true", help="8-bit matrices in the optimised engine (CUDA)")
    parser.add_argument("--gpu", default="", help="whose peak rates bound the time, e.g. 'H200'; default: this one's")


def run(options: Namespace | None = None) -> dict[str, float | str]:
    """Return the keys of the bench ``model``: times [ms], error, and the floor of the same run."""
    if options is None:
        parser = ArgumentParser()
        add_arguments(parser)
        options = parser.parse_args([])
    # torch is heavy, and the list of benches must not need it.
    from wam_ros.models.measure import measure
    from wam_ros.models.xwam.measure import measure as measure_xwam

    given = {"repeats": options.repeats, "threads": options.threads, "fp8": options.fp8, "gpu_name": options.gpu}
    if options.model == "xwam":
        return measure_xwam(options.size, options.device, **given)
    return measure(options.model, options.size, options.device, **given)
