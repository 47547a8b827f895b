# SPDX-License-Identifier: Apache-2.0
"""Fast inference: the same chunk as ``sampling.sample`` gives, with less work.

A switch (:class:`Shortcuts`) never branches inside a layer. It chooses which of two objects with the same face
an engine's lanes work with: ``LiveTime`` or ``TabulatedTime`` for the modulation, ``LiveText`` or
``CachedText`` for the context, ``GrowingMemory`` or ``StaticMemory`` for keys and values, ``PlainLayers`` or
``FusedLayers`` for the blocks. With every switch off the engine repeats the released procedure.
"""

from wam_ros.models.inference.engine import Engine
from wam_ros.models.inference.shortcuts import Shortcuts

__all__ = ["Engine", "Shortcuts"]
