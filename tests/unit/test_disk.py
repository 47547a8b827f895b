# SPDX-License-Identifier: Apache-2.0
"""What a folder takes is asked while others write there."""

from __future__ import annotations

from threading import Event, Thread

from wam_ros.files.dataset.disk import size_bytes


def test_a_file_that_gets_its_name_while_the_folder_is_measured_is_no_failure(tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "rows").write_bytes(b"12345")
    over = Event()

    def rename() -> None:
        while not over.is_set():
            (tmp_path / "part.new").write_bytes(b"123")
            (tmp_path / "part.new").replace(tmp_path / "part")

    writer = Thread(target=rename)
    writer.start()
    try:
        found = {size_bytes(tmp_path) for _ in range(3000)}
    finally:
        over.set()
        writer.join()
    assert min(found) >= 5
    assert size_bytes(tmp_path) == 8
