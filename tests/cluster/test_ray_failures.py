"""What Ray raises becomes one line that says what to do."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from rayml.cluster.ray_failures import explained, may_start_later, not_started
from rayml.errors import ClusterError, ConfigError


def rays() -> list[Exception]:
    from ray import exceptions
    from ray.serve.exceptions import DeploymentUnavailableError, RayServeException
    from ray.tune import TuneError

    return [
        exceptions.ActorDiedError(),
        exceptions.ActorUnavailableError("it is\nbusy", b"0" * 16),
        exceptions.WorkerCrashedError(),
        exceptions.LocalRayletDiedError(),
        exceptions.NodeDiedError("a node\nwas lost"),
        exceptions.OutOfMemoryError("a\nb"),
        exceptions.OutOfDiskError("a\nb"),
        exceptions.ObjectStoreFullError("a\nb"),
        exceptions.GetTimeoutError("Get timed out"),
        exceptions.RpcError("a\nb"),
        exceptions.RaySystemError(OSError("gone")),
        exceptions.AuthenticationError("no token\nhere"),
        exceptions.RuntimeEnvSetupError("a\nb"),
        exceptions.ObjectFreedError("0" * 56, None, ""),
        RayServeException("a\nb"),
        DeploymentUnavailableError.__new__(DeploymentUnavailableError),
        TuneError("a\nb"),
    ]


def test_each_is_one_line_with_a_remedy(tmp_path: Path) -> None:
    for error in rays():
        told = explained(error, tmp_path)
        assert isinstance(told, ClusterError), error
        assert "\n" not in str(told), error
        assert told.remedy, error
        assert str(tmp_path) in str(told)
        assert type(error).__name__ in (tmp_path / "rayml-traceback.txt").read_text()


def test_what_is_not_rays_stays_what_it_is() -> None:
    for error in (ValueError("x"), KeyError("x"), ConfigError("x"), OSError(errno.ENOSPC, "full")):
        assert explained(error) is None


def test_our_own_error_in_a_worker_is_told_as_it_is() -> None:
    from ray.exceptions import RayTaskError

    inner = ConfigError("no column 'x'", remedy="Take another")
    for cause in (inner, RayTaskError("f", "Traceback…", inner)):
        wrapped = RayTaskError("f", "Traceback (most recent call last):\n…", cause)
        told = explained(wrapped.as_instanceof_cause() if cause is inner else wrapped)
        assert str(told) == str(inner)
        assert isinstance(told, ConfigError)
        assert told.exit_code == 2


def test_a_users_error_in_a_worker_is_named_and_its_traceback_kept(tmp_path: Path) -> None:
    from ray.exceptions import RayTaskError

    wrapped = RayTaskError("f", "Traceback:\n  my_module.py, line 3", ValueError("bad\nvalue"))
    told = explained(wrapped.as_instanceof_cause(), tmp_path)
    assert told is not None
    assert "a worker failed with ValueError: bad" in str(told)
    assert "my_module.py, line 3" in (tmp_path / "rayml-traceback.txt").read_text()


@pytest.mark.parametrize(
    ("error", "words", "later"),
    [
        (Exception("The current node timed out during startup. This …"), "did not start", True),
        (TimeoutError("Timed out waiting for file gcs_server_port"), "did not start", True),
        (OSError(errno.ENOSPC, "No space left on device"), r"no room is left .*/dev/shm", False),
        (RuntimeError("Version mismatch: The cluster was started with:\n Ray: 2.1"), "2.1", False),
        (RuntimeError("Unauthenticated: no token"), "refuses this token", False),
        (ValueError("bad argument"), "bad argument", False),
    ],
)
def test_a_start_that_failed_says_why(error: Exception, words: str, later: bool) -> None:
    told = not_started(error, Path("/logs"))
    assert "\n" not in str(told)
    assert told.remedy
    with pytest.raises(ClusterError, match=words):
        raise told
    assert may_start_later(error) == later
