# SPDX-License-Identifier: Apache-2.0
"""Where configuration is found, and what is said when it is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from wam_ros.core.errors import ConfigError
from wam_ros.files import assets

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    """A folder of the user's own, searched first."""
    (tmp_path / "config" / "robots").mkdir(parents=True)
    monkeypatch.setenv("WAM_ROS_PATH", str(tmp_path))
    return tmp_path


def test_the_checkout_is_found_without_being_installed():
    assert assets.find("config/fastdds.xml") == REPOSITORY / "config" / "fastdds.xml"


def test_a_robot_is_known_by_the_name_of_its_file():
    assert assets.names("robots") == sorted(path.stem for path in (REPOSITORY / "config" / "robots").glob("*.yaml"))


def test_the_users_own_folder_wins(own_folder):
    original = REPOSITORY / "config" / "robots" / "sim_r1_lite.yaml"
    mine = own_folder / "config" / "robots" / "sim_r1_lite.yaml"
    mine.write_text(original.read_text(encoding="utf-8") + "command_rate_hz: 50\n")
    assert assets.load_robot("sim_r1_lite").command_rate_hz == 50


def test_the_users_own_folder_adds_to_what_is_there(own_folder):
    shutil.copy(REPOSITORY / "config" / "robots" / "sim_r1_lite.yaml", own_folder / "config" / "robots" / "mine.yaml")
    assert "mine" in assets.names("robots")
    assert "sim_r1_lite" in assets.names("robots")


def test_a_path_is_taken_as_it_is(tmp_path):
    copy = shutil.copy(REPOSITORY / "config" / "policies" / "hold.yaml", tmp_path / "copy.yaml")
    assert assets.load_policy(str(copy)) == assets.load_policy("hold")


def test_an_installed_package_finds_its_share_folder(tmp_path, monkeypatch):
    share = tmp_path / "share" / "wam_ros" / "config"
    share.mkdir(parents=True)
    (share / "only_installed.xml").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    assert assets.find("config/only_installed.xml") == share / "only_installed.xml"


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"robots: expected one of .*sim_r1_lite.*, got 'nobody'"):
        assets.load_robot("nobody")


def test_a_file_that_is_nowhere_says_where_it_was_looked_for(own_folder):
    with pytest.raises(ConfigError, match=f"looked in {own_folder}.*set WAM_ROS_PATH"):
        assets.find("config/nobody.xml")
