#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Make .venv and install the named requirement lists and this package into it: requirements/install.sh runtime [policy record models realsense dev]
# With a ROS distribution sourced, ROS comes from there; without one, from the pinned wheels of ros.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# System packages come through apt where that needs no password; apt speaks only when it fails.
apt_install() {
    local sudo=() said
    command -v apt-get > /dev/null || return 1
    if [ "$(id -u)" != 0 ]; then
        sudo -n true 2> /dev/null || return 1
        sudo=(sudo -n)
    fi
    say "apt-get install $*"
    said=$({ "${sudo[@]}" apt-get update -qq &&
        "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } 2>&1) ||
        { printf '%s\n' "$said" >&2; return 1; }
}

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.12 python3.11 python3.13 python3.10}; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' 2> /dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.10 to 3.13 is needed and ${PYTHON:-python3} is not one; install python3, or say make PYTHON=/path/to/python"
}

make_venv() {
    local python version
    python=$(find_python)
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    "$python" -c 'import venv, ensurepip' 2> /dev/null || apt_install "python$version-venv" ||
        fail "Python's venv module is missing; run: sudo apt-get install python$version-venv"
    say "Python $version, ROS ${ROS_DISTRO:-from wheels}"
    "$python" -m venv ${ROS_DISTRO:+--system-site-packages} .venv
    echo "${ROS_DISTRO:-wheels}" > .venv/ros
    .venv/bin/python -m pip install -q --disable-pip-version-check pip==26.3
}

# Where no NVIDIA GPU can use the other one, torch's CPU build saves gigabytes. Whoever has told pip of an index of their
# own gets torch from there; so does everybody when that build cannot be had.
cpu_torch() {
    ! command -v nvidia-smi > /dev/null || return 0
    [ -z "$(.venv/bin/python -m pip config list | grep -E "index-url|find-links")" ] || return 0
    .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --retries 0 --timeout 15 \
        --index-url https://download.pytorch.org/whl/cpu "$(grep '^torch==' requirements/policy.txt)" 2> /dev/null || true
}

[ -x .venv/bin/python ] || make_venv
made_for=$(cat .venv/ros 2> /dev/null || echo wheels)
[ "$made_for" = "${ROS_DISTRO:-wheels}" ] ||
    fail ".venv was made for ROS $made_for and ${ROS_DISTRO:-no ROS} is sourced now; run: rm -rf .venv"

lists=()
[ -n "${ROS_DISTRO:-}" ] || lists+=(-r requirements/ros.txt)
for name in "$@"; do lists+=(-r "requirements/$name.txt"); done
say "installing $* (requirements/*.txt)"
[[ " $* " != *" policy "* ]] || cpu_torch
.venv/bin/python -m pip install -q --disable-pip-version-check -c requirements/constraints.txt "${lists[@]}"
PYTHONWARNINGS=ignore .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .

python() { .venv/bin/python -c "$1" 2> /dev/null; }
links() { python 'import ctypes; ctypes.CDLL("libgomp.so.1")'; }
draws() { python 'import sys; from wam_ros.sim.graphics import choose_backend; sys.exit(choose_backend() == "disabled")'; }
sees() { [[ " $* " != *" realsense "* ]] || python 'import pyrealsense2'; }
sees "$@" || apt_install libusb-1.0-0 || say "RealSense cameras cannot be used before: sudo apt-get install libusb-1.0-0"
links || apt_install libgomp1 || fail "the OpenMP runtime is missing; run: sudo apt-get install libgomp1"
draws || apt_install libegl1 libgl1 libgl1-mesa-dri || true
draws || apt_install libosmesa6 || true
draws || fail "no OpenGL library that draws without a display; run: sudo apt-get install libegl1 libgl1 libgl1-mesa-dri (or libosmesa6)"
