# SPDX-License-Identifier: Apache-2.0
"""Which OpenGL library draws without a display: EGL, else OSMesa, else none. Does not import MuJoCo."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence

from wam_ros.core.errors import MissingDependencyError

REMEDY = (
    "install one: apt-get install libegl1 libgl1 libgl1-mesa-dri (or: apt-get install libosmesa6), "
    "or run without cameras"
)


def choose_backend() -> str:
    """Set ``MUJOCO_GL`` to the first renderer that can work, unless the user has set it, and return it.

    Where Mesa draws on the CPU it does so in the thread that asks: for pictures of this size its helpers cost more than
    they save, and they take the cores of the other nodes.
    """
    os.environ.setdefault("LP_NUM_THREADS", "0")
    if not os.environ.get("MUJOCO_GL"):
        os.environ["MUJOCO_GL"] = "egl" if _egl_works() else "osmesa" if _osmesa_works() else "disabled"
    return os.environ["MUJOCO_GL"]


def require_backend() -> None:
    """Refuse to draw without an OpenGL library.

    Raises:
        MissingDependencyError: naming the system packages.
    """
    if os.environ.get("MUJOCO_GL") == "disabled":
        raise MissingDependencyError(f"cameras need an OpenGL library that draws without a display; {REMEDY}")


def _egl_works() -> bool:
    """True when libEGL is there and a driver offers it a device; the library alone draws nothing."""
    egl = _load(["libEGL.so.1", "libEGL.so"])
    if egl is None or _load(["libGL.so.1", "libOpenGL.so.0"]) is None:
        return False
    egl.eglGetProcAddress.restype = ctypes.c_void_p
    address = egl.eglGetProcAddress(b"eglQueryDevicesEXT")
    if not address:
        return False
    query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int))(address)
    count = ctypes.c_int(0)
    return bool(query(0, None, ctypes.byref(count))) and count.value > 0


def _osmesa_works() -> bool:
    return _load(["libOSMesa.so.8", "libOSMesa.so.6", "libOSMesa.so"]) is not None


def _load(names: Sequence[str]) -> ctypes.CDLL | None:
    for name in names:
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None
