"""The versions that an endpoint serves now, and how a request gets one of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from rayml.errors import RequestError
from rayml.serve.http.messages import Request
from rayml.serve.model.served import ServedModel


class Serving(Protocol):
    """The versions that an endpoint serves now."""

    @property
    def champion(self) -> ServedModel:
        """The version that answers by default."""
        ...

    def described(self, request: Request) -> ServedModel:
        """The version that a page is about.

        Raises:
            RequestError: 404 if the request names a version that is not served.
        """
        ...

    async def choose(self, request: Request) -> ServedModel:
        """Choose the version that predicts for a request; it may read the request's body.

        Raises:
            RequestError: 404 if the request names a version that is not served; also the errors of
                reading its body.
        """
        ...

    def models(self) -> Sequence[ServedModel]:
        """Versions that are ready, whether requests reach them or not."""
        ...

    def close(self) -> None:
        """End after answering the requests taken in."""
        ...


class OneVersion:
    """Serves one version for all requests."""

    def __init__(self, model: ServedModel) -> None:
        self.champion = model

    def described(self, request: Request) -> ServedModel:
        """The version that a page is about."""
        return named_version(request, {self.champion.version: self.champion}) or self.champion

    async def choose(self, request: Request) -> ServedModel:
        """Choose the version that predicts for a request."""
        return self.described(request) if request.parameters else self.champion

    def models(self) -> Sequence[ServedModel]:
        """Versions that are ready, whether requests reach them or not."""
        return (self.champion,)

    def close(self) -> None:
        """End after answering the requests taken in."""
        self.champion.close()


def named_version(request: Request, served: Mapping[str, ServedModel]) -> ServedModel | None:
    """The version that the path of a request names; None where it names none.

    Args:
        request: whose path may have the parameter `version`.
        served: versions that are served, by their numbers.

    Raises:
        RequestError: 404 if the version is not among those that are served.
    """
    version = request.parameters.get("version")
    if version is None:
        return None
    if version not in served:
        raise RequestError(
            f"no version {version!r} is served",
            status=404,
            remedy=f"Name one of {', '.join(served)}",
        )
    return served[version]
