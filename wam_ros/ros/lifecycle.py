# SPDX-License-Identifier: Apache-2.0
"""A lifecycle node that can also start itself, where no lifecycle manager runs."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from wam_ros.core.errors import WamError

_SUCCESS, _FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class SelfStartingNode(LifecycleNode):
    """Unconfigured, inactive, active; the four hooks below say what that means.

    Attributes:
        active: whether it is to do its work.
        starting: whether it is on its own way to active.
    """

    def __init__(self, name: str, **node_args: Any) -> None:
        super().__init__(name, **node_args)
        self.active = self.starting = False
        self._trouble: WamError | None = None

    def destroy_node(self) -> None:
        """End, and leave the ROS graph at once.

        rclpy's state machine holds the node, and with it its place in the graph, until the garbage is collected.
        """
        super().destroy_node()
        self._state_machine = None

    # -- hooks -----------------------------------------------------------------------------

    def configure(self) -> None:
        """Get ready to work; may leave slow things to a thread.

        Raises:
            WamError: one sentence; the node stays unconfigured.
        """

    def can_activate(self) -> bool:
        """Say whether the slow things are done."""
        return True

    def rest(self) -> None:
        """Stop working."""

    def release(self) -> bool:
        """Let go of what configure took; say whether that worked."""
        return True

    # -- starting itself -------------------------------------------------------------------

    def start(self) -> None:
        """Configure now; the node activates itself when its slow things are done.

        Raises:
            WamError: what configure raised.
        """
        self.starting = True
        self.trigger_configure()
        if self._trouble is not None:
            raise self._trouble

    # -- the transitions -------------------------------------------------------------------

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Unconfigured to inactive."""
        try:
            self.configure()
        except WamError as error:
            self._trouble = error
            self.get_logger().error(str(error))
            return _FAILURE
        self._trouble = None
        return _SUCCESS

    def on_activate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Inactive to active."""
        self.active = self.can_activate()
        self.starting = self.starting and not self.active
        if not self.active:
            self.get_logger().warning("not activated: it is not ready yet; diagnostics say when it is")
        return _SUCCESS if self.active else _FAILURE

    def on_deactivate(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Active to inactive."""
        self.active = False
        self.rest()
        return _SUCCESS

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Inactive to unconfigured."""
        return _SUCCESS if self.release() else _FAILURE

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Anything to finalised."""
        if self.active:
            self.active = False
            self.rest()
        return _SUCCESS
