# SPDX-License-Identifier: Apache-2.0
"""A CUDA graph of a function that only reads and writes tensors which stay where they are."""

from __future__ import annotations

from collections.abc import Callable

import torch


class Replay:
    """Records a function once; calling it replays all its kernels with one launch.

    The function takes nothing and returns nothing, and must not look at the values of tensors. What it reads is
    written in place before a call; what it leaves in attributes keeps its address from call to call.
    """

    def __init__(self, work: Callable[[], None], warm_ups: int = 3) -> None:
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            # Compilation, autotuning and library handles must not be recorded.
            for _ in range(warm_ups):
                work()
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            work()

    def __call__(self) -> None:
        """Run the recorded kernels on the current stream."""
        self._graph.replay()
