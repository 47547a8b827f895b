# SPDX-License-Identifier: Apache-2.0
"""Clouds on the page: what is measured where it is, what is imagined beside it, and how wrong it was."""

from __future__ import annotations

from types import MappingProxyType

import viser

from wam_ros.vision.colored_cloud import Cloud

MEASURED, IMAGINED, ERROR = "measured", "imagined", "error"
#: What one may choose to see, and the clouds it takes.
CHOICES = MappingProxyType(
    {
        "measured | imagined": (MEASURED, IMAGINED),
        "measured | error": (MEASURED, ERROR),
        "measured": (MEASURED,),
        "imagined": (IMAGINED,),
        "error": (ERROR,),
        "nothing": (),
    }
)
POINT_M = 0.004
#: How far the second cloud is moved aside, to the robot's right.
APART_M = 1.2


class Clouds:
    """The clouds of a page.

    Args:
        server: of the page; there is a frame ``/base``.
    """

    def __init__(self, server: viser.ViserServer) -> None:
        self._server, self._drawn = server, dict[str, viser.PointCloudHandle]()
        with server.gui.add_folder("Clouds"):
            self._choice = server.gui.add_dropdown("show", tuple(CHOICES))
            self._apart = server.gui.add_slider("apart [m]", 0.0, 3.0, 0.1, APART_M)
        self._choice.on_update(lambda _: self._place())
        self._apart.on_update(lambda _: self._place())

    @property
    def wanted(self) -> tuple[str, ...]:
        """The clouds that somebody sees: none while no page is open."""
        return CHOICES[self._choice.value] if self._server.get_clients() else ()

    def choose(self, choice: str) -> None:
        """Show one of ``CHOICES``."""
        self._choice.value = choice  # type: ignore[misc]

    def put(self, name: str, cloud: Cloud) -> None:
        """Draw the newest of a cloud, in the base frame."""
        self._drawn[name] = self._server.scene.add_point_cloud(
            f"/base/{name}", cloud.points, cloud.colors, point_size=POINT_M, position=self._position(name)
        )

    def _place(self) -> None:
        shown = CHOICES[self._choice.value]
        for name, drawn in list(self._drawn.items()):
            drawn.visible, drawn.position = name in shown, self._position(name)

    def _position(self, name: str) -> tuple[float, float, float]:
        second = CHOICES[self._choice.value][1:]
        return (0.0, -self._apart.value if name in second else 0.0, 0.0)
