"""Processes adopt, are watched, and are ended with all below them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from rayml.processes import Watch, children, parent_of, wait_for_any, writable
from tests.processes import command, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it asks Linux")

# A grandchild in a session of its own, whose parent has ended.
ORPHAN = """
import os, subprocess, sys
from rayml.processes import adopt_orphans, children, end_all_below
adopt_orphans()
code = "import subprocess as s; print(s.Popen(['sleep', '600'], start_new_session=True).pid)"
with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
    orphan = int(parent.stdout.readline())
assert children(os.getpid()) == [orphan]
end_all_below()
assert children(os.getpid()) == []
print(orphan)
"""


def test_whoever_adopts_orphans_ends_them() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert not command(int(done.stdout))


def test_a_process_is_watched_to_its_end() -> None:
    with subprocess.Popen(["sleep", "600"]) as process:
        watch = Watch(process.pid)
        assert process.pid in children(os.getpid())
        assert parent_of(process.pid) == os.getpid()
        assert not watch.ended()
        process.kill()
        assert wait_for_any([watch], 60)
        assert watch.ended()
    wait_until(lambda: process.pid not in children(os.getpid()), "it is reaped")


def test_a_pipe_that_nobody_reads_is_not_written_to() -> None:
    readable, end = os.pipe()
    assert writable(end)
    os.close(readable)
    assert not writable(end)
    os.close(end)
