# SPDX-License-Identifier: Apache-2.0
"""The operator's buttons on the page: each only asks, and what is asked is refused or granted elsewhere.

Everybody who opens the page sees everything and may stop the robot. Everything else needs the token that was said
where the console was started, once for each opened page.
"""

from __future__ import annotations

import hmac
import html
from collections.abc import Callable, Sequence
from functools import partial

import viser

#: Service or topic, and what is asked for there (ros/requests.py).
Ask = Callable[[str, bool | str | None], None]
Wish = tuple[str, bool | str | None]

LOCKED = "locked: give the token that was said where the console was started"
#: Of one height, whatever it says: no button moves under a person's finger.
BOARD = '<div style="height:7.5em;overflow:auto;padding:4px 12px;font-size:13px">{}</div>'
_SESSION: dict[str, Wish] = {
    "Arm": ("arm", True),
    "Disarm": ("arm", False),
    "Reset the stop": ("safety_reset", None),
}
_LEAD: dict[str, Wish] = {"Take over": ("takeover", True), "Hand back": ("takeover", False)}
_VERDICT: dict[str, Wish] = {"Success": ("operator/mark", "success"), "Failure": ("operator/mark", "failure")}
_RECORD: dict[str, Wish] = {
    "Record": ("record/start", None),
    "End recording": ("record/stop", None),
    "Discard": ("record/discard", None),
}


class Console:
    """The operator's part of a page.

    Args:
        server: of the page.
        stages: names of the task's stages, which a person may mark.
        simulated: time is the simulator's to let run.
        instruction: shown until another is given.
        token: that opens the buttons.
        on_ask: called by the server's threads.

    Attributes:
        buttons: by their labels.
    """

    def __init__(
        self,
        server: viser.ViserServer,
        *,
        stages: Sequence[str],
        simulated: bool,
        instruction: str,
        token: str,
        on_ask: Ask,
    ) -> None:
        self.buttons: dict[str, viser.GuiButtonHandle] = {}
        self._gui, self._token, self._on_ask = server.gui, token, on_ask
        self._open: set[int] = set()
        attempt: dict[str, Wish] = {"Start": ("operator/mark", "start")}
        if simulated:
            attempt = {"Start": ("sim/play", True), "Pause": ("sim/play", False)}
        self._shown = ""
        panel = self._gui.add_panel()
        with panel.add_tab("Operator"):
            self._said = self._gui.add_html(BOARD.format(""))
            self._add("Robot", _SESSION | attempt)
            self._add_instruction(instruction)
            self._add("Who leads", _LEAD)
            self._add("Marks", {f"Stage: {name}": ("operator/mark", name) for name in stages} | _VERDICT)
            self._add("Recording", _RECORD)
        panel.dock_left()  # the stop button stays in sight on the right
        server.on_client_connect(self._on_client)
        server.on_client_disconnect(lambda client: self._open.discard(client.client_id))

    def show(self, answer: str, leader: str, recorder: str) -> None:
        """Show the newest answer, who leads the arms, and what the recorder says."""
        lines = {"answer": answer, "leads": leader, "recorder": recorder}
        shown = "<br>".join(f"{label}: <b>{html.escape(text)}</b>" for label, text in lines.items())
        if shown != self._shown:
            self._shown, self._said.content = shown, BOARD.format(shown)

    def _add(self, folder: str, wishes: dict[str, Wish]) -> None:
        with self._gui.add_folder(folder):
            for label, wish in wishes.items():
                self._add_button(label, partial(_same, wish))

    def _add_instruction(self, instruction: str) -> None:
        with self._gui.add_folder("Instruction"):
            text = self._gui.add_text("words", instruction)
            self._add_button("Say it", lambda: ("instruction", text.value))

    def _add_button(self, label: str, wish: Callable[[], Wish]) -> None:
        button = self.buttons[label] = self._gui.add_button(label)
        button.on_click(lambda event: self._on_click(event, wish()))

    def _on_click(self, event: viser.GuiEvent[viser.GuiButtonHandle], wish: Wish) -> None:
        if event.client_id in self._open:
            self._on_ask(*wish)
        elif event.client is not None:
            event.client.add_notification("No token", LOCKED, auto_close_seconds=5.0)

    def _on_client(self, client: viser.ClientHandle) -> None:
        """Each opened page has a field of its own for the token: what one knows, the others do not see."""
        field = client.gui.add_text("token", "", hint=LOCKED, order=0.0)

        def on_update(_event: object) -> None:
            if hmac.compare_digest(field.value.strip().encode(), self._token.encode()):
                self._open.add(client.client_id)
                field.remove()

        field.on_update(on_update)


def _same(wish: Wish) -> Wish:
    return wish
