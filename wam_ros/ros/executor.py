# SPDX-License-Identifier: Apache-2.0
"""rclpy's single-threaded executor without its waste (docs/adr/0007).

The stock one looks up every entity of its nodes at each wake-up, builds a new wait set, and wakes itself
once more after each callback, for the sake of the multi-threaded one. This one keeps its wait set until an
entity comes or goes. What is taken, and how, is still rclpy's own. ``wam bench runtime`` compares them.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from inspect import iscoroutinefunction
from time import monotonic_ns
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.executors import (
    ConditionReachedException,
    ExternalShutdownException,
    ShutdownException,
    SingleThreadedExecutor,
    TimeoutException,
)
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.timer import Timer
from rclpy.waitable import NumberOfEntities

try:
    from rclpy.event_handler import EventHandler
except ImportError:  # before Jazzy
    from rclpy.qos_event import QoSEventHandler as EventHandler

Ready = tuple[Any, Any, Any]
#: rclpy's order, with the names of a kind in the wait set and of the method that takes it.
_KINDS = {
    "timers": ("timer", "_take_timer"),
    "subscriptions": ("subscription", "_take_subscription"),
    "guards": ("guard_condition", "_take_guard_condition"),
    "clients": ("client", "_take_client"),
    "services": ("service", "_take_service"),
}
_FREQUENT = ("_take_timer", "_take_subscription")
_NS_PER_S = 1_000_000_000
#: Quality-of-service events only warn in the log; there are two for each topic.
_EVENTS_NS = _NS_PER_S


class LeanExecutor(SingleThreadedExecutor):
    """Runs callbacks in the thread that spins it."""

    def __init__(self, **arguments: Any) -> None:
        self._roster: _Roster | None = None
        super().__init__(**arguments)

    def wake(self) -> None:
        """Look the entities up anew; nodes call it when one comes or goes."""
        self._roster = None
        super().wake()

    def add_node(self, node: Node) -> bool:
        """Add a node whose callbacks are run."""
        self._roster = None
        return bool(super().add_node(node))

    def remove_node(self, node: Node) -> None:
        """Run this node's callbacks no more."""
        self._roster = None
        super().remove_node(node)

    def _wait_for_ready_callbacks(
        self,
        timeout_sec: Any = None,
        nodes: list[Node] | None = None,
        condition: Callable[[], bool] = lambda: False,
    ) -> Generator[Ready, None, None]:
        """Yield what is ready, in rclpy's order: timers, subscriptions, guards, clients, services."""
        if nodes is not None:
            yield from super()._wait_for_ready_callbacks(timeout_sec, nodes, condition)
            return
        timeout_s = getattr(timeout_sec, "timeout", timeout_sec)
        deadline_ns = None if timeout_s is None or timeout_s < 0 else monotonic_ns() + round(timeout_s * _NS_PER_S)
        worked = False
        while not worked and not self._is_shutdown and not condition():
            for entry in self._unfinished():
                worked = True
                yield entry
            for entry in self._wait(deadline_ns):
                worked = True
                yield entry
            if not worked and deadline_ns is not None and monotonic_ns() >= deadline_ns:
                raise TimeoutException
        if self._is_shutdown:
            raise ShutdownException
        if condition():
            raise ConditionReachedException

    def _unfinished(self) -> list[Ready]:
        """Tasks and coroutines that wait for their turn."""
        with self._tasks_lock:
            self._tasks = [entry for entry in self._tasks if not (entry[0].done() or entry[0].cancelled())]
            return [entry for entry in reversed(self._tasks) if not entry[0].executing()]

    def _wait(self, deadline_ns: int | None) -> list[Ready]:
        """Wait until something is ready, or the deadline; return what is."""
        roster = self._roster
        if roster is None:
            # Before it is filled: what comes or goes meanwhile makes the next one.
            roster = self._roster = _Roster(self.get_nodes(), (self._guard, self._sigint_gc), self._context)
        try:
            ready = roster.wait(-1 if deadline_ns is None else max(0, deadline_ns - monotonic_ns()))
        except InvalidHandle:
            self._roster = None  # something was destroyed
            return []
        if self._is_shutdown:
            raise ShutdownException
        if not self._context.ok():
            raise ExternalShutdownException
        return [self._entry(entity, node, take) for entity, node, take in ready]

    def _entry(self, entity: Any, node: Node, take: str) -> Ready:
        """Return a handler; a plain callback needs no task, a coroutine does."""
        if take in _FREQUENT and not iscoroutinefunction(entity.callback):
            return _Handler(entity, getattr(self, take)), entity, node
        return self._make_handler(entity, node, getattr(self, take)), entity, node


class _Handler:
    """Takes and runs one plain callback; stands where rclpy puts a task. What it raises passes through."""

    __slots__ = ("_entity", "_take")

    def __init__(self, entity: Any, take: Callable[[Any], Any]) -> None:
        self._entity, self._take = entity, take

    def __call__(self) -> None:
        execute = self._take(self._entity)
        if execute is not None:
            with suppress(StopIteration):  # a coroutine that never waits ends at its first step
                execute().send(None)

    def exception(self) -> None:
        """There is none: it has passed through."""

    def result(self) -> None:
        """There is none."""


class _Roster:
    """The entities of some nodes, and the wait set that holds them.

    Args:
        nodes: whose entities.
        guards: the executor's own.
        context: of the wait set.
    """

    def __init__(self, nodes: list[Node], guards: tuple[Any, ...], context: Any) -> None:
        self._found = {kind: [(e, node) for node in nodes for e in getattr(node, kind)] for kind in _KINDS}
        waitables = [(waitable, node) for node in nodes for waitable in node.waitables]
        self._events = [entry for entry in waitables if isinstance(entry[0], EventHandler)]
        self._waitables = [entry for entry in waitables if not isinstance(entry[0], EventHandler)]
        self._looked_ns = 0
        extra = sum((w.get_num_entities() for w, _ in waitables), NumberOfEntities())
        counts = {kind: len(found) for kind, found in self._found.items()}
        self._wait_set = _rclpy.WaitSet(
            counts["subscriptions"] + extra.num_subscriptions,
            counts["guards"] + len(guards) + extra.num_guard_conditions,
            counts["timers"] + extra.num_timers,
            counts["clients"] + extra.num_clients,
            counts["services"] + extra.num_services,
            extra.num_events,
            context.handle,
        )
        adders = {kind: getattr(self._wait_set, f"add_{waited}") for kind, (waited, _) in _KINDS.items()}
        self._adds = [(adders[kind], entity.handle) for kind, found in self._found.items() for entity, _ in found]
        self._adds += [(adders["guards"], guard.handle) for guard in guards]

    def wait(self, timeout_ns: int) -> list[tuple[Any, Node, str]]:
        """Wait until something is ready; return each entity that is, its node, and the method that takes it."""
        wait_set = self._wait_set
        wait_set.clear_entities()
        for add, handle in self._adds:
            add(handle)
        waited = self._waitables
        if monotonic_ns() - self._looked_ns > _EVENTS_NS:
            self._looked_ns = monotonic_ns()
            waited = waited + self._events
        for waitable, _ in waited:
            waitable.add_to_wait_set(wait_set)
        wait_set.wait(timeout_ns)
        ready = [(w, node, "_take_waitable") for w, node in waited if w.is_ready(wait_set)]
        for kind, (waited_for, take) in _KINDS.items():
            pointers = wait_set.get_ready_entities(waited_for)
            if pointers:
                found = self._found[kind]
                ready += [(e, n, take) for e, n in found if e.handle.pointer in pointers and _is_ready(e)]
        return ready


def _is_ready(entity: Any) -> bool:
    # rcl reports cancelled timers too.
    return not isinstance(entity, Timer) or bool(entity.handle.is_timer_ready())
