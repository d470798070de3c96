"""A cluster whose machines do not share what a sweep needs is told before anything is spent."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.command import environment
from tests.processes import descendants, kill

HEAD = """
import sys
import ray
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": int(sys.argv[1])})
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""
# A machine with another folder at the place of the first one's, on the same network.
OTHER = 'mount -t tmpfs none "$1" && exec "$2" -m ray.scripts.scripts start --address="$3" --block'


def start_head(cpus: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HEAD, str(cpus)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


@pytest.fixture
def head(request: pytest.FixtureRequest) -> Iterator[str]:
    """Address of a cluster of one machine with so many CPUs."""
    process = start_head(request.param)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    yield address
    process.communicate("", timeout=60)


def check(home: Path, address: str, *overrides: str) -> subprocess.CompletedProcess[str]:
    words = ["check", "data=wine", f"cluster.address={address}", *overrides]
    return subprocess.run(
        [sys.executable, "-m", "rayml", *words],
        cwd=home,
        env=environment(home),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("head", [0], indirect=True)
def test_a_cluster_without_a_cpu_is_told_at_once(head: str, tmp_path: Path) -> None:
    done = check(tmp_path, head)
    assert done.returncode == 2
    assert "cluster: it has no CPU: no worker has joined it" in done.stderr
    assert "search.resources.cpu: 1 CPU is more than the cluster has (0)" in done.stderr


@pytest.mark.parametrize("head", [1], indirect=True)
def test_a_folder_that_machines_do_not_share_is_named(head: str, tmp_path: Path) -> None:
    shared = tmp_path / "runs"
    shared.mkdir()
    command = ["unshare", "-m", "sh", "-c", OTHER, "sh", str(shared), sys.executable, head]
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("a machine with a folder of its own needs the right to make a namespace")
    other = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert other.stdout is not None
        assert any("Ray runtime started" in line for line in other.stdout)
        done = check(tmp_path, head)
        assert done.returncode == 2, done.stderr
        for key in ("paths.prepared", "paths.sweeps", "paths.registry"):
            assert f"{key}: {shared}" in done.stderr
        assert "use a folder that all machines share" in done.stderr
        assert [path.name for path in shared.rglob(".shared-*")] == []
    finally:
        kill([*descendants(other.pid), other.pid])
        other.wait()
        other.stdout.close()
