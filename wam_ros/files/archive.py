# SPDX-License-Identifier: Apache-2.0
"""What arrived, as it came: serialised messages in an MCAP file that can be cut off at any byte.

A finished file is a rosbag2 recording: profile ``ros2``, CDR, one schema for each type, receipt as log time.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from mcap.exceptions import McapError
from mcap.reader import NonSeekingReader, make_reader
from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_typestore

from wam_ros.core.errors import DatasetError

_LIBRARY = "wam_ros"
_METADATA = "metadata.yaml"


class Message(NamedTuple):
    """A message as it came.

    Attributes:
        topic: absolute name.
        kind: type, such as ``sensor_msgs/msg/JointState``.
        data: CDR, with its header of four bytes.
        log_ns: when it arrived.
        stamp_ns: what it says of its own time; 0 when nothing.
    """

    topic: str
    kind: str
    data: bytes
    log_ns: int
    stamp_ns: int = 0


class ArchiveWriter:
    """Writes an MCAP file; what was synced survives a crash.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._writer: Any = Writer(self._file, compression=CompressionType.ZSTD)
        self._writer.start(profile="ros2", library=_LIBRARY)
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._schemas: dict[str, int] = {}
        self._channels: dict[tuple[str, str], int] = {}
        self._sequences: Counter[int] = Counter()

    def write(self, message: Message) -> None:
        """Add a message.

        Raises:
            DatasetError: its type is not one of ROS 2's standard messages.
        """
        channel = self._channel(message.topic, message.kind)
        self._sequences[channel] += 1
        self._writer.add_message(
            channel, message.log_ns, message.data, message.stamp_ns or message.log_ns, self._sequences[channel]
        )

    def write_all(self, messages: Iterable[Message]) -> None:
        """Add messages; raises what :meth:`write` does."""
        for message in messages:
            self.write(message)

    def sync(self) -> None:
        """Wait until everything written so far is on the disk."""
        self._writer.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Write the index and end the file."""
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def _channel(self, topic: str, kind: str) -> int:
        key = (topic, kind)
        if key not in self._channels:
            self._channels[key] = self._writer.register_channel(topic, "cdr", self._schema(kind))
        return self._channels[key]

    def _schema(self, kind: str) -> int:
        if kind not in self._schemas:
            if kind not in self._types.types:
                raise DatasetError(f"message type {kind}: not one of ROS 2's own; leave its topic out of the archive")
            definition = self._types.generate_msgdef(kind, ros_version=2)[0]
            self._schemas[kind] = self._writer.register_schema(kind, "ros2msg", definition.encode())
        return self._schemas[kind]


def read_messages(path: Path) -> Iterator[Message]:
    """Yield the messages of an MCAP file in the order in which they were written, up to where it is cut off."""
    with path.open("rb") as file:
        try:
            for schema, channel, message in NonSeekingReader(file).iter_messages(log_time_order=False):
                kind = schema.name if schema else ""
                yield Message(channel.topic, kind, message.data, message.log_time, message.publish_time)
        except (McapError, EOFError, ValueError):
            return


def is_finished(path: Path) -> bool:
    """Return whether an MCAP file was closed: its last bytes are the format's magic."""
    magic = b"\x89MCAP0\r\n"
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - len(magic)))
        return size > 2 * len(magic) and file.read() == magic


def mend(path: Path, target: Path) -> int:
    """Write what can be read of a file that was cut off as a finished one; return the number of messages."""
    writer, count = ArchiveWriter(target), 0
    for message in read_messages(path):
        writer.write(message)
        count += 1
    writer.close()
    return count


def describe(path: Path) -> str:
    """Return the ``metadata.yaml`` that makes a folder with this one file a rosbag2 recording.

    Raises:
        DatasetError: the file was not finished.
    """
    with path.open("rb") as file:
        summary = make_reader(file).get_summary()
    if summary is None or summary.statistics is None:
        raise DatasetError(f"{path}: has no index; mend it first")
    figures = summary.statistics
    counts = {
        (channel.topic, summary.schemas[channel.schema_id].name): figures.channel_message_counts.get(channel.id, 0)
        for channel in summary.channels.values()
    }
    first_ns, last_ns = figures.message_start_time, figures.message_end_time
    span = {"starting_time": {"nanoseconds_since_epoch": first_ns}, "duration": {"nanoseconds": last_ns - first_ns}}
    total = sum(counts.values())
    information: dict[str, Any] = {
        "version": 5,
        "storage_identifier": "mcap",
        "relative_file_paths": [path.name],
        **span,
        "message_count": total,
        "topics_with_message_count": [
            {
                "topic_metadata": {"name": t, "type": k, "serialization_format": "cdr", "offered_qos_profiles": ""},
                "message_count": n,
            }
            for (t, k), n in sorted(counts.items())
        ],
        "compression_format": "",
        "compression_mode": "",
        "files": [{"path": path.name, **span, "message_count": total}],
    }
    return yaml.safe_dump({"rosbag2_bagfile_information": information}, sort_keys=False)
