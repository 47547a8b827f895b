# SPDX-License-Identifier: Apache-2.0
"""The operator's console: it only asks, only who has the token may ask, and everybody may stop."""

from __future__ import annotations

import threading
from contextlib import suppress
from socket import SHUT_RDWR

import pytest

rclpy = pytest.importorskip("rclpy", reason="no ROS 2 in this environment")
viser = pytest.importorskip("viser", reason="no viser in this environment")
import msgspec
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.browser_support import CHROMIUM, browsing
from tests.nodes.test_viewer import free_port
from tests.process_support import eventually
from tests.ros_support import spinning, wait_until
from wam_ros.core.errors import ConfigError
from wam_ros.files.assets import load_task
from wam_ros.nodes.viewer import ViewerNode
from wam_ros.ros.qos import EVENT, LATCHED
from wam_ros.ros.requests import SERVICES
from wam_ros.ros.status import OK, make_status
from wam_ros.view.page import Page

TOKEN = "the-operators-own"
_CAMERA = {
    **{"wxyz": (1.0, 0.0, 0.0, 0.0), "position": (1.0, 0.0, 0.0), "fov": 1.0, "near": 0.1, "far": 10.0},
    **{"image_height": 100, "image_width": 100, "look_at": (0.0, 0.0, 0.0), "up_direction": (0.0, 0.0, 1.0)},
}


# the page


class Opened:
    """A page as the browser's code opens it: a websocket of the right origin."""

    def __init__(self, page: Page) -> None:
        before = set(page._server.get_clients())
        port = page.url.rsplit(":", 1)[1]
        self._socket = connect(
            f"ws://127.0.0.1:{port}",
            origin=f"http://127.0.0.1:{port}",
            subprotocols=[f"viser-v{viser.__version__}"],
            max_size=None,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._say("ViewerCameraMessage", **_CAMERA)  # a page is connected once it shows something
        eventually(lambda: len(set(page._server.get_clients()) - before) == 1)
        (number,) = set(page._server.get_clients()) - before
        self._fields = page._server.get_clients()[number].gui._gui_input_handle_from_uuid
        eventually(lambda: bool(self._fields))

    def _read(self) -> None:
        with suppress(ConnectionClosed):
            list(self._socket)

    def press(self, button) -> None:
        self._update(button._impl.uuid, True)

    def give(self, token: str) -> None:
        for uuid in list(self._fields):
            self._update(uuid, token)

    def close(self) -> None:
        self._socket.close()
        self._reader.join()

    def vanish(self) -> None:
        """Be gone without a word, as when the network or the computer fails."""
        self._socket.socket.shutdown(SHUT_RDWR)
        self._reader.join()

    @property
    def locked(self) -> bool:
        return bool(self._fields)

    def _update(self, uuid: str, value: bool | str) -> None:
        self._say("GuiUpdateMessage", uuid=uuid, updates={"value": value})

    def _say(self, kind: str, **fields: object) -> None:
        self._socket.send(msgspec.msgpack.encode({"type": kind, **fields}))


class Desk:
    """A page with a console, and what was asked for there."""

    def __init__(self, robot) -> None:
        self.asked, self.stops, self._opened = [], [], []
        self.page = Page(robot, free_port(), lambda: self.stops.append(True))
        self.console = self.page.add_console(
            load_task("towel_fold"), TOKEN, lambda name, wish: self.asked.append((name, wish))
        )
        panel = self.page._server.gui._gui_input_handle_from_uuid.values()
        self.stop = next(handle for handle in panel if getattr(handle, "label", "") == "Stop the robot")

    def open(self) -> Opened:
        self._opened.append(Opened(self.page))
        return self._opened[-1]

    def close(self) -> None:
        for opened in self._opened:
            opened.close()
        self.page.close()


@pytest.fixture(scope="module")
def desk(robot):
    desk = Desk(robot)
    yield desk
    desk.close()


def test_without_the_token_one_may_stop_and_nothing_else(desk):
    stranger = desk.open()
    for button in desk.console.buttons.values():
        stranger.press(button)
    stranger.give("a guess")
    stranger.press(desk.console.buttons["Arm"])
    stranger.press(desk.stop)
    eventually(lambda: desk.stops == [True])
    assert desk.asked == []
    assert stranger.locked


def test_the_token_opens_the_page_on_which_it_was_given_and_no_other(desk):
    operator, stranger = desk.open(), desk.open()
    desk.asked.clear()
    operator.give(TOKEN)
    eventually(lambda: not operator.locked)
    stranger.press(desk.console.buttons["Disarm"])
    for label in ("Arm", "Take over", "Stage: grasped", "Say it", "Record", "Success", "Start"):
        operator.press(desk.console.buttons[label])
    wanted = {
        *(("arm", True), ("takeover", True), ("operator/mark", "grasped"), ("operator/mark", "success")),
        *(("instruction", "Fold the towel in half."), ("record/start", None), ("sim/play", True)),
    }
    eventually(lambda: set(desk.asked) == wanted)
    assert stranger.locked


def test_losing_the_page_asks_for_nothing_and_the_next_one_begins_locked(desk):
    operator = desk.open()
    operator.give(TOKEN)
    eventually(lambda: not operator.locked)
    desk.asked.clear()
    stops, opened = len(desk.stops), len(desk.page._server.get_clients())
    operator.press(desk.console.buttons["Take over"])
    eventually(lambda: desk.asked == [("takeover", True)])
    operator.vanish()
    eventually(lambda: len(desk.page._server.get_clients()) == opened - 1)
    following = desk.open()
    following.press(desk.console.buttons["Arm"])
    assert following.locked
    following.give(TOKEN)
    eventually(lambda: not following.locked)
    following.press(desk.console.buttons["Hand back"])
    eventually(lambda: len(desk.asked) > 1)
    assert desk.asked == [("takeover", True), ("takeover", False)]
    assert len(desk.stops) == stops


def test_every_service_that_a_button_asks_for_can_be_asked_for(desk):
    operator = desk.open()
    operator.give(TOKEN)
    eventually(lambda: not operator.locked)
    desk.asked.clear()
    for button in desk.console.buttons.values():
        operator.press(button)
    eventually(lambda: len(desk.asked) == len(desk.console.buttons))
    assert {name for name, _ in desk.asked} <= {*SERVICES, "operator/mark", "instruction"}


def test_what_is_shown_of_answers_is_no_markup(desk):
    desk.console.show(answer="takeover: **no** <script>", leader="policy", recorder="")
    assert "<b>takeover: **no** &lt;script&gt;</b>" in desk.console._said.content


def test_a_foreign_page_gets_nothing_of_it(desk):
    with pytest.raises(InvalidStatus) as refusal, connect(desk.page.url.replace("http", "ws"), origin="http://evil"):
        pass
    assert refusal.value.response.status_code == 403


# the node


class Graph(Node):
    """Every service an operator may call, and what was said."""

    def __init__(self, context) -> None:
        super().__init__("graph", context=context)
        self.asked: list[tuple[str, object]] = []
        self.said: list[tuple[str, str]] = []
        for name, kind in SERVICES.items():
            self.create_service(kind, name, self._answering(name))
        self.safety = self.create_publisher(DiagnosticStatus, "safety/state", LATCHED)
        for topic, qos in (("operator/mark", EVENT), ("instruction", LATCHED)):
            self.create_subscription(String, topic, self._hearing(topic), qos)

    def _answering(self, name):
        def answer(request: SetBool.Request | Trigger.Request, response):
            self.asked.append((name, getattr(request, "data", None)))
            response.success, response.message = True, f"{name} was heard"
            return response

        return answer

    def _hearing(self, topic):
        return lambda msg: self.said.append((topic, msg.data))


@pytest.fixture
def console(ros_context, robot):
    values = {"robot": robot.name, "task": "towel_fold", "port": free_port(), "console": True, "token": TOKEN}
    viewer = ViewerNode(
        context=ros_context, parameter_overrides=[Parameter(name, value=value) for name, value in values.items()]
    )
    graph = Graph(ros_context)
    with spinning(ros_context, viewer, graph) as executor:
        yield executor, viewer, graph


def test_what_is_asked_for_is_called_and_the_answer_is_shown(console):
    executor, viewer, graph = console
    services = viewer._requests._services.values()
    wait_until(executor, lambda: all(client.service_is_ready() for client in services))
    wait_until(executor, lambda: viewer._requests._publishers["operator/mark"].get_subscription_count() == 1)
    for wish in (("arm", True), ("takeover", False), ("record/stop", None), ("operator/mark", "lifted")):
        viewer.ask(*wish)
    viewer.ask("instruction", "Fold it again.")
    wait_until(executor, lambda: len(graph.asked) == 3 and len(graph.said) == 2)
    assert set(graph.asked) == {("arm", True), ("takeover", False), ("record/stop", None)}
    assert graph.said == [("operator/mark", "lifted"), ("instruction", "Fold it again.")]
    wait_until(executor, lambda: "was heard" in viewer._console._said.content)
    viewer._show_console(
        viewer._console, {"motion": {"source": "teleop", "too_far": "joint4 of the leader is +0.71 rad"}}
    )
    assert "leads: <b>teleop, not followed: joint4 of the leader" in viewer._console._said.content


def test_a_service_that_nobody_offers_is_one_sentence(ros_context, robot):
    values = {"robot": robot.name, "task": "towel_fold", "port": free_port(), "console": True}
    overrides = [Parameter(name, value=value) for name, value in values.items()]
    viewer = ViewerNode(context=ros_context, parameter_overrides=overrides)
    with spinning(ros_context, viewer) as executor:
        viewer.ask("record/start", None)
        wait_until(executor, lambda: "expected a node that offers it, got none" in viewer._console._said.content)
        assert len(viewer._console._token) >= 12, "without a token given it makes one"
        with pytest.raises(ConfigError, match="viewer: port: expected a free port"):
            ViewerNode(context=ros_context, parameter_overrides=overrides)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this computer")
def test_in_a_real_browser_an_operator_starts_marks_and_stops(console, tmp_path):
    executor, viewer, graph = console
    over, spinner = threading.Event(), None

    def spin() -> None:
        while not over.is_set():
            executor.spin_once(timeout_sec=0.05)

    spinner = threading.Thread(target=spin)
    spinner.start()
    try:
        with browsing(viewer._page.url, tmp_path) as browser:
            graph.safety.publish(make_status("wam/safety", OK, "DISARMED", {"cause": ""}))
            eventually(lambda: "DISARMED" in browser.text())
            browser.click("Arm")
            eventually(lambda: "locked" in browser.text())
            assert graph.asked == []
            browser.type_into("token", TOKEN)
            eventually(lambda: bool(viewer._console._open))
            for label, wish in (("Arm", ("arm", True)), ("Start", ("sim/play", True))):
                browser.click(label)
                eventually(lambda wish=wish: wish in graph.asked)
            for label, mark in (("Stage: grasped", "grasped"), ("Success", "success")):
                browser.click(label)
                eventually(lambda mark=mark: ("operator/mark", mark) in graph.said)
            browser.click("Stop the robot")
            eventually(lambda: ("safety_stop", None) in graph.asked)
        eventually(lambda: not viewer._page._server.get_clients() and not viewer._console._open)
        assert [word for topic, word in graph.said if topic == "operator/mark"] == ["grasped", "success"]
        assert graph.asked == [("arm", True), ("sim/play", True), ("safety_stop", None)]
    finally:
        over.set()
        spinner.join()
