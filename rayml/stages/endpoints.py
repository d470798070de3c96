"""Lists the endpoints that run on this machine, and ends one of them."""

from __future__ import annotations

import shlex

from rayml.errors import ConfigError, ServeError
from rayml.serve.supervise.supervisors import Running, running
from rayml.stages.commands import show

# Seconds: the requests in progress end within their timeout, and Ray within some seconds.
_END_S = 120.0


def show_endpoints() -> None:
    """Print a line for each endpoint of this user on this machine."""
    found = running()
    for each in found:
        show.line(_described(each))
    if not found:
        show.line("no endpoint of `rayml serve` runs on this machine")


def end_endpoint(port: str | None) -> None:
    """End an endpoint after it has answered the requests in progress.

    Args:
        port: of HTTP; None ends the only one.

    Raises:
        ConfigError: none runs, or several do and none is named.
        ServeError: it does not end in time.
    """
    found = running()
    chosen = [each for each in found if port is None or (each.url or "").endswith(f":{port}")]
    if not chosen:
        at = "" if port is None else f" at port {port}"
        raise ConfigError(
            f"no endpoint of `rayml serve` runs{at}", remedy="See `rayml status` for all of them"
        )
    if len(chosen) > 1:
        known = ", ".join((each.url or "").rpartition(":")[2] or "starting" for each in chosen)
        raise ConfigError(
            f"{len(chosen)} endpoints run, and the command names none",
            remedy=f"Use `rayml down PORT` with one of {known}",
        )
    (one,) = chosen
    if not one.end(_END_S):
        raise ServeError(
            f"process {one.pid} has not ended in {_END_S:g} s",
            remedy=f"End it with `kill -9 {one.pid}`",
        )
    show.line(f"ended {_described(one)}")


def _described(one: Running) -> str:
    command = shlex.join(["rayml", *one.command])
    if one.url is None:
        return f"`{command}` starts (process {one.pid})"
    driver = "its driver is started again" if one.driver is None else f"driver {one.driver}"
    return f"{one.url} version {one.version}: `{command}` (supervisor {one.pid}, {driver})"
