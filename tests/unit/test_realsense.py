# SPDX-License-Identifier: Apache-2.0
"""RealSense cameras: found by number, believed only where they say when and how, opened again when they are lost."""

from __future__ import annotations

import sys
from dataclasses import replace
from time import time_ns

import cv2
import numpy as np
import pytest
import yaml

from tests.process_support import eventually
from tests.realsense_support import (
    ARRIVAL,
    GLOBAL,
    HEIGHT,
    LENS,
    OWN,
    SIZE,
    UNIT_M,
    WIDTH,
    FileBus,
    SoftwareBus,
    SoftwareCamera,
    camera,
    intrinsics,
    picture,
    record,
    rs,
)
from wam_ros.core.errors import CameraError, ConfigError, MissingDependencyError
from wam_ros.core.serials import serials_of
from wam_ros.files.assets import find, load_robot
from wam_ros.realsense import reader as reading
from wam_ros.realsense.bus import UsbBus
from wam_ros.realsense.devices import Device, Wanted, check_offered, choose, described
from wam_ros.realsense.inspection import plugged_in, seated
from wam_ros.realsense.library import INSTALL, realsense
from wam_ros.realsense.reader import Reader
from wam_ros.realsense.shots import Darkroom, FrameError, millimetres, optics_of

PERIOD_NS = 33_333_333
#: What comes late on a busy machine is no failure.
PATIENCE_S = 240.0
DEPTH = np.full((HEIGHT, WIDTH), 3000, np.uint16)


def wanted(serial: str = "0815", **changes) -> Wanted:
    return Wanted(camera(**changes), serial, SIZE)


class Bench:
    """A software camera, its source, and a clock that follows what it sees."""

    def __init__(self) -> None:
        self.camera = SoftwareCamera("0815")
        self.source = SoftwareBus(self.camera).start(described(self.camera.device), wanted())
        self.now_ns = 1_800_000_000_000_000_000
        self.darkroom = Darkroom(wanted(), lambda: self.now_ns)
        self.develop(first=True)  # the library's syncer gives the first frame of one stream alone

    def develop(self, first: bool = False, behind_ns: int = 5_000_000, **seen):
        self.now_ns += PERIOD_NS
        self.camera.see(**{"stamp_ns": self.now_ns - behind_ns, **seen})
        frames = self.source.wait(PATIENCE_S)
        return None if first else self.darkroom.develop(frames)


# -- pictures ------------------------------------------------------------------------------


def test_a_shot_is_what_the_device_saw_when_it_saw_it():
    bench, color = Bench(), picture(7)
    depth = np.arange(HEIGHT * WIDTH, dtype=np.uint16).reshape(HEIGHT, WIDTH) + 1000
    shot = bench.develop(color=color, depth=depth, stamp_ns=bench.now_ns + PERIOD_NS)
    np.testing.assert_array_equal(shot.color, color)
    assert abs(shot.stamp_ns - bench.now_ns) < 1000  # milliseconds in double precision
    assert shot.depth_stamp_ns == shot.stamp_ns
    assert shot.depth_mm.dtype == np.uint16
    seen = shot.depth_mm > 0  # a lens that bends leaves pixels out where depth is brought to them
    assert seen.mean() > 0.8
    assert np.abs(shot.depth_mm[seen] - depth[seen] * UNIT_M * 1000).max() <= 10  # a neighbour's, at most
    assert (shot.optics.width, shot.optics.height, shot.optics.fx) == (WIDTH, HEIGHT, 41.0)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        ({"domain": OWN}, "device_clock"),
        ({"behind_ns": 11_000_000_000}, "other_clock"),
        ({"behind_ns": -200_000_000}, "other_clock"),
        ({"behind_ns": 200_000_000}, "backwards"),
    ],
)
def test_a_frame_that_does_not_say_when_it_was_taken_is_refused_by_name(seen, why):
    bench = Bench()
    bench.develop()
    with pytest.raises(FrameError, match=r"camera left_wrist \(0815\): frame: expected .*, got .*; ") as refused:
        bench.develop(**seen)
    assert refused.value.why == why


def test_times_of_arrival_are_taken_and_told():
    bench = Bench()
    bench.develop(domain=GLOBAL)
    assert not bench.darkroom.on_arrival
    bench.develop(domain=ARRIVAL)
    assert bench.darkroom.on_arrival


def test_half_a_pair_is_refused_and_frames_that_nobody_got_are_counted():
    bench = Bench()
    bench.develop()
    for _ in range(3):
        bench.camera._number += 1
    bench.develop()
    assert bench.darkroom.lost == 3
    with pytest.raises(FrameError, match="both streams") as refused:
        bench.darkroom.develop(_DepthOnly())
    assert refused.value.why == "incomplete"


class _DepthOnly:
    """A composite frame without colour."""

    def get_color_frame(self) -> None:
        return None


def test_depth_in_any_unit_becomes_millimetres_and_what_does_not_fit_is_unknown():
    raw = np.array([[0, 1, 14, 16, 65535]], np.uint16)
    assert millimetres(raw, 0.001) is raw
    np.testing.assert_array_equal(millimetres(raw, 0.0001), [[0, 0, 1, 2, 6554]])
    np.testing.assert_array_equal(millimetres(raw, 0.01), [[0, 10, 140, 160, 0]])


@pytest.mark.parametrize("model", [rs.distortion.brown_conrady, rs.distortion.inverse_brown_conrady])
def test_the_librarys_lens_is_opencvs(model):
    lens = intrinsics(model)
    optics = optics_of("it", lens)
    points = np.random.default_rng(0).uniform((-0.7, -0.5, 1), (0.7, 0.5, 1), (50, 3))
    ours = cv2.projectPoints(points, np.zeros(3), np.zeros(3), optics.matrix(), np.array(optics.distortion))[0][:, 0]
    theirs = [rs.rs2_project_point_to_pixel(lens, point.tolist()) for point in points]
    np.testing.assert_allclose(ours, theirs, atol=0.02)
    assert optics_of("it", intrinsics(model, (0.0,) * 5)).distortion == ()


def test_a_lens_that_ros_cannot_say_is_refused():
    assert optics_of("it", intrinsics(rs.distortion.none, LENS)).distortion == ()
    assert optics_of("it", intrinsics(rs.distortion.ftheta, (0.0,) * 5)).distortion == ()
    with pytest.raises(CameraError, match=r"expected a Brown-Conrady model, got .*ftheta"):
        optics_of("it", intrinsics(rs.distortion.ftheta))


# -- devices -------------------------------------------------------------------------------


def test_a_device_is_chosen_by_its_number():
    devices = [
        described(SoftwareCamera(serial, model).device) for serial, model in (("0815", "D405"), ("0816", "D435I"))
    ]
    assert choose(wanted("0816"), devices) == Device("0816", "D435I", "3.2")
    assert choose(wanted("0816", model="D435i"), devices).serial == "0816"


@pytest.mark.parametrize(
    ("asked", "devices", "said"),
    [
        (wanted("0817"), [Device("0815", "D405")], r"expected device 0817, got D405 0815; .* or correct serial"),
        (wanted("0817"), [], r"expected device 0817, got no device; plug it in; .* udev"),
        (
            wanted(model="D435i"),
            [Device("0815", "D405")],
            r"expected a D435i, got D405 0815; are two cameras swapped\?",
        ),
    ],
)
def test_a_device_that_is_not_there_or_another_is_named(asked, devices, said):
    with pytest.raises(CameraError, match=said):
        choose(asked, devices)


@pytest.mark.parametrize(
    ("asked", "usb", "said"),
    [
        (wanted(rate_hz=90.0), "3.2", "colour: expected 64x48 at 90 Hz, got 64x48 at 30 Hz over USB 3.2; set width"),
        (Wanted(camera(), "0815", (640, 480)), "3.2", "depth: expected 640x480 at 30 Hz, got 64x48 over.* depth_size"),
        (wanted(rate_hz=90.0), "2.1", "over USB 2.1; plug it into a USB 3 port"),
    ],
)
def test_a_profile_that_is_not_offered_is_named_with_those_that_are(asked, usb, said):
    check_offered(wanted(), described(SoftwareCamera("0815").device))
    with pytest.raises(CameraError, match=said):
        check_offered(asked, described(SoftwareCamera("0815", usb=usb).device))


def test_a_rate_that_no_device_has_is_a_mistake():
    with pytest.raises(ConfigError, match=r"rate_hz: expected a whole number, got 7\.5"):
        wanted(rate_hz=7.5)


def test_serial_numbers_are_the_robot_files_or_given():
    robot = load_robot("ac_one")
    assert serials_of(robot, "") == {"head": "", "left_wrist": "", "right_wrist": ""}
    assert serials_of(robot, "head=1,left_wrist=2") == {"head": "1", "left_wrist": "2", "right_wrist": ""}
    with pytest.raises(ConfigError, match="expected CAMERA=SERIAL with one of head, left_wrist, right_wrist"):
        serials_of(robot, "tail=1")


@pytest.mark.parametrize(
    ("module", "said"),
    [
        ("", r"expected the Python package pyrealsense2, got none; run: .* install pyrealsense2==\d"),
        ("raise ImportError('libusb-1.0.so.0: cannot open')", "got libusb-1.0.so.0: .*; run: .* libusb-1.0-0"),
    ],
)
def test_without_the_library_it_is_said_what_to_install(monkeypatch, tmp_path, module, said):
    monkeypatch.setitem(sys.modules, "pyrealsense2", None)
    if module:
        monkeypatch.delitem(sys.modules, "pyrealsense2")
        (tmp_path / "pyrealsense2.py").write_text(module)
        monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError, match=said):
        realsense()


def test_the_cure_installs_what_was_tried():
    lists = (find("requirements/realsense.txt")).read_text().splitlines()
    assert INSTALL.split()[-1] in lists


def test_doctor_says_how_to_name_what_is_plugged_in():
    bus = SoftwareBus(SoftwareCamera("0815"), SoftwareCamera("0816", usb="2.1"))
    good, slow = plugged_in(lambda: bus)
    assert good.ok
    assert "D405, USB 3.2" in good.detail
    assert yaml.safe_load(good.detail.partition("robot file: ")[2]) == {"cameras": [{"name": "NAME", "serial": "0815"}]}
    assert not slow.ok
    assert "USB 3 port" in slow.cure
    (none,) = plugged_in(SoftwareBus)
    assert none.ok


def test_doctor_holds_a_robots_serial_numbers_against_what_is_plugged_in():
    ac_one = load_robot("ac_one")
    named = {
        "head": {"serial": "0815", "model": "D435"},
        "left_wrist": {"serial": "0816"},
        "right_wrist": {"serial": "0817"},
    }
    robot = replace(ac_one, cameras=tuple(replace(c, **named[c.name]) for c in ac_one.cameras))
    bus = SoftwareBus(SoftwareCamera("0815", "D405"), SoftwareCamera("0816"), SoftwareCamera("0818"))
    head, left, right, spare = seated(robot, lambda: bus)
    assert (head.ok, left.ok, right.ok, spare.ok) == (False, True, False, True)
    assert "are two cameras swapped?" in head.cure
    assert "expected device 0817, got D405 0815 and D405 0816 and D405 0818" in right.cure
    assert spare.what == "RealSense 0818"
    assert seated(robot, SoftwareBus) == []


def test_a_device_that_left_before_it_was_opened_is_the_librarys_error():
    gone = described(SoftwareCamera("no such number").device)
    bus = UsbBus()
    assert gone not in bus.devices()
    with pytest.raises(RuntimeError, match="the device left"):
        bus.start(gone, wanted(gone.serial))


# -- reading -------------------------------------------------------------------------------


@pytest.fixture
def hurried(monkeypatch):
    """Lost cameras are opened again at once."""
    monkeypatch.setattr(reading, "FIRST_S", 0.02)
    monkeypatch.setattr(reading, "LAST_S", 0.02)


# The library's player has aborted the process once on a starved machine.
@pytest.mark.flaky(reruns=2)
def test_a_recording_is_read_as_a_device_is(monkeypatch, tmp_path):
    monkeypatch.setattr(reading, "SILENCE_S", 0.5)
    monkeypatch.setattr(reading, "FIRST_S", 60.0)  # after its pictures nothing more is wanted;
    monkeypatch.setattr(reading, "LAST_S", 0.02)  # without any it is played again
    end_ns = time_ns()
    stamps = [end_ns - k * PERIOD_NS for k in reversed(range(20))]
    record(tmp_path / "it.db3", "0815", stamps)
    shots = []
    reader = Reader(FileBus(tmp_path / "it.db3"), wanted(), shots.append)
    try:
        eventually(lambda: shots and "expected frames, got none for" in str(reader.complaints))
    finally:
        reader.close()
    numbers = [min(range(20), key=lambda k, shot=shot: abs(stamps[k] - shot.stamp_ns)) for shot in shots]
    assert all(a < b for a, b in zip(numbers, numbers[1:], strict=False))
    for number, shot in zip(numbers, shots, strict=True):
        assert abs(shot.stamp_ns - stamps[number]) < 1000
        np.testing.assert_array_equal(shot.color, picture(number))
        # The library's first sets may be of colour alone.
        assert shot.depth_mm is None or set(np.unique(shot.depth_mm)) <= {0, 300}
    assert any(shot.depth_mm is not None for shot in shots)


def test_what_was_published_before_a_camera_was_lost_is_not_published_again(hurried):
    it, shots = SoftwareCamera("0815"), []
    reader = Reader(SoftwareBus(it), wanted(), shots.append)
    try:
        eventually(lambda: it.see() and len(shots) > 2)
        it.plugged, newest_ns = False, shots[-1].stamp_ns
        eventually(lambda: not reader.live)
        it.plugged = True
        eventually(lambda: it.see(stamp_ns=newest_ns) and reader.refused["backwards"])
        assert all(a.stamp_ns < b.stamp_ns for a, b in zip(shots, shots[1:], strict=False))
    finally:
        reader.close()


def test_a_camera_that_is_pulled_out_is_named_and_opened_again(hurried):
    it = SoftwareCamera("0815")
    shots = []
    reader = Reader(SoftwareBus(it), wanted(), shots.append)

    def lit(more: int) -> bool:
        it.see()
        return len(shots) >= more

    try:
        eventually(lambda: reader.opened and lit(3))
        it.plugged = False
        eventually(lambda: "expected device 0815, got no device" in str(reader.complaints))
        assert not reader.live
        assert reader.figures()["state"] == "LOST"
        before, opened = len(shots), reader.opened
        it.plugged = True
        eventually(lambda: reader.opened > opened and lit(before + 3))
        assert reader.figures()["pictures"] == len(shots)
    finally:
        reader.close()


@pytest.mark.parametrize(
    ("text", "cure"),
    [
        ("xioctl(VIDIOC_S_FMT) failed Last Error: Device or resource busy", "end the program that has it open"),
        ("failed to open usb interface: 0, error: RS2_USB_STATUS_ACCESS", "udev rules"),
        ("Couldn't resolve requests", "USB 3"),
        ("anything else", "replug"),
    ],
)
def test_what_the_library_says_is_handed_on_with_what_helps(text, cure):
    class Refusing(SoftwareBus):
        def start(self, device: Device, wanted: Wanted):
            raise RuntimeError(text)

    reader = Reader(Refusing(SoftwareCamera("0815")), wanted(), lambda shot: None)
    try:
        eventually(lambda: text in str(reader.complaints))
        assert cure in str(reader.complaints)
    finally:
        reader.close()


def test_a_slow_link_and_times_of_arrival_are_warnings(monkeypatch):
    monkeypatch.setattr(reading, "SILENCE_S", 60.0)  # whatever the machine does
    it = SoftwareCamera("0815", usb="2.1")
    reader = Reader(SoftwareBus(it), wanted(), lambda shot: None)
    try:
        eventually(lambda: reader.opened and it.see(domain=ARRIVAL) and reader.shots > 2)
        assert reader.live
        assert any("expected USB 3, got USB 2.1" in text for text in reader.complaints)
        assert any("latency_s" in text for text in reader.complaints)
    finally:
        reader.close()
