# SPDX-License-Identifier: Apache-2.0
"""The Python packages of others that this one needs, and the lines that install them.

``wam doctor`` looks for all of them; the command line names the one that a command did not find, and how to get it.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from wam_ros.core.errors import WamError

PIP = f"{sys.executable} -m pip"
WHEELS = f"in the source folder: {PIP} install -c requirements/constraints.txt -r requirements/ros.txt"
ROS = f"source /opt/ros/DISTRO/setup.bash, or {WHEELS}"


class Package(NamedTuple):
    """A distribution.

    Attributes:
        distribution: its name where packages come from.
        serves: what does not work without it, where most works; empty: every run needs it.
        pinned: what pip is asked for, where not any version will do.
    """

    distribution: str
    serves: str = ""
    pinned: str = ""

    @property
    def installed_by(self) -> str:
        """The line that installs it."""
        return f"{PIP} install '{self.pinned or self.distribution}'"


#: By module. A robot's computer needs no twin, no page and no recording.
PACKAGES = {
    "numpy": Package("numpy"),
    "scipy": Package("scipy"),
    "yaml": Package("PyYAML"),
    "xacro": Package("xacro"),
    "pinocchio": Package("pin"),
    "ruckig": Package("ruckig"),
    # The wheels of OpenCV 5 lack what calibration needs.
    "cv2": Package("opencv-python-headless", pinned="opencv-python-headless<5"),
    "mujoco": Package("mujoco"),
    "matplotlib": Package("matplotlib"),
    "jinja2": Package("Jinja2"),
    "PIL": Package("pillow"),
    "av": Package("av"),
    "rich": Package("rich"),
    "pyarrow": Package("pyarrow", "recording and datasets"),
    "mcap": Package("mcap", "archives of recordings"),
    "rosbags": Package("rosbags", "archives of recordings"),
    "viser": Package("viser", "the browser view"),
    "yourdfpy": Package("yourdfpy", "the browser view"),
    "torch": Package("torch", "policies with weights"),
    "safetensors": Package("safetensors", "policies with weights"),
    "diffusers": Package("diffusers", "released checkpoints"),
    "transformers": Package("transformers", "released checkpoints"),
    "ftfy": Package("ftfy", "instructions beyond ASCII"),
    "accelerate": Package("accelerate", "training"),
    "pyrealsense2": Package("pyrealsense2", "RealSense cameras on this computer"),
}
#: Modules that come with another one.
_BROUGHT_BY = {"coal": "pinocchio", "mpl_toolkits": "matplotlib", "markupsafe": "jinja2", "websockets": "viser"}


def package_of(module: str) -> Package | None:
    """Return whose module it is; None where it is not one of :data:`PACKAGES`."""
    top = module.partition(".")[0]
    return PACKAGES.get(_BROUGHT_BY.get(top, top))


def of_ros(module: str) -> bool:
    """Whether a module comes with ROS 2."""
    top = module.partition(".")[0]
    return top in ("rclpy", "ament_index_python", "launch", "launch_ros", "std_srvs") or top.endswith(
        ("_msgs", "_interfaces")
    )


def cure(error: ImportError) -> str:
    """Return the line that cures a failed import; empty where none is known, as of a bug of ours."""
    name = error.name or ""
    if of_ros(name):
        return ROS
    package = package_of(name)
    if package is None:
        return ""
    if isinstance(error, ModuleNotFoundError):
        return package.installed_by
    return f"sudo apt-get install libgomp1, or {PIP} install -U '{package.pinned or package.distribution}'"


def lack(error: ImportError) -> str:
    """Return a failed import as one sentence with its cure; empty where none is known."""
    name, line = (error.name or "").partition(".")[0], cure(error)
    package = package_of(name)
    if not line:
        return ""
    serves = f", for {package.serves}," if package is not None and package.serves else ""
    there = "is not installed" if isinstance(error, ModuleNotFoundError) else f"does not load ({error})"
    return f"the Python module {name}{serves} {there}; run: {line}"


def told(error: WamError | ImportError) -> str:
    """Return the one sentence that a person is told of an error.

    Raises:
        ImportError: the same, where no cure is known: a bug keeps its traceback.
    """
    sentence = lack(error) if isinstance(error, ImportError) else str(error)
    if not sentence:
        raise error
    return sentence
