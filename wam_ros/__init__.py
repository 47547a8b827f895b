# SPDX-License-Identifier: Apache-2.0
"""Put a World Action Model on a robot: synchronise, stitch, infer, splice, and stop safely.

The flow is one line: cameras and joints -> ``ros.observe`` -> ``core.stitch`` -> ``policies`` ->
``core.splice`` -> robot. ``core`` is pure; each library has one room; nodes are thin.
Start reading with ``docs/architecture.md``, then ``graph.py``.
"""

__version__ = "0.1.0"
