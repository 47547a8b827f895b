# SPDX-License-Identifier: Apache-2.0
"""Metadata of the ament_python package; tools are configured in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "wam_ros"
NODES = [
    "policy",
    "motion",
    "safety",
    "sim_robot",
    "teleop",
    "viewer",
    "imagination",
    "drift",
    "recorder",
    "replay",
    "calibration",
    "double",
    "camera_realsense",
    "arms",
]


def share(folder: str) -> list[tuple[str, list[str]]]:
    """Every folder below ``folder`` that holds files, as data_files entries."""
    found: dict[str, list[str]] = {}
    for path in sorted(Path(folder).rglob("*")):
        if path.is_file():
            found.setdefault(f"share/{PACKAGE}/{path.parent.as_posix()}", []).append(path.as_posix())
    return list(found.items())


setup(
    name=PACKAGE,
    version="0.1.0",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={f"{PACKAGE}.report": ["*.j2"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        *[entry for folder in ("checkpoints", "config", "launch", "urdf", "rviz") for entry in share(folder)],
    ],
    python_requires=">=3.10",
    # What the rooms without a twin, a model or a page need; requirements/ holds the tried versions.
    install_requires=[
        "setuptools",
        "numpy",
        "scipy",
        "pyyaml",
        "xacro",
        "pin",
        "ruckig",
        "opencv-python-headless<5",
        "rich",
    ],
    extras_require={
        "sim": ["mujoco"],
        "report": ["matplotlib", "pillow", "jinja2", "av"],
        "record": ["av", "pyarrow", "mcap", "rosbags"],
        "realsense": ["pyrealsense2"],
        "view": ["viser", "yourdfpy"],
        "models": ["torch", "safetensors", "diffusers", "transformers"],
        # By this colcon sees that the tests are pytest's.
        "test": ["pytest", "hypothesis"],
        "train": ["torch", "safetensors", "accelerate", "matplotlib"],
    },
    zip_safe=False,
    maintainer="wam_ros developers",
    maintainer_email="wam-ros@users.noreply.example",
    description="Put a World Action Model on a robot",
    license="Apache-2.0",
    entry_points={
        "console_scripts": [
            "wam = wam_ros.__main__:main",
            *[f"{node} = wam_ros.nodes.{node}:main" for node in NODES],
        ],
        "wam_ros.backends": [
            "hold = wam_ros.policies.hold:Hold",
            "expert = wam_ros.policies.expert:Expert",
            "fastwam = wam_ros.policies.fastwam:FastWam",
            "xwam = wam_ros.policies.xwam:XWam",
        ],
    },
)
