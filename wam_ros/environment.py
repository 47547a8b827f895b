# SPDX-License-Identifier: Apache-2.0
"""The environment that every process of a graph gets; what the user has set already wins."""

from __future__ import annotations

from collections.abc import Mapping

from wam_ros.files.assets import find

# Unbounded OpenMP threads slow inference by a factor of ten and steal the control loop's core.
THREADS = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# Fast DDS 2 and 3 read different variables.
DDS_PROFILE = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def additions(given: Mapping[str, str], *, simulated: bool) -> dict[str, str]:
    """Return what must be added to the given environment.

    Args:
        given: the environment so far, usually ``os.environ``.
        simulated: a simulated robot is nobody else's business, so discovery stays on this computer;
            a real robot's drivers may run on another one.
    """
    profile = str(find("config/fastdds.xml"))
    wanted = {**THREADS, **dict.fromkeys(DDS_PROFILE, profile)}
    if simulated:
        wanted["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    return {key: value for key, value in wanted.items() if key not in given}
