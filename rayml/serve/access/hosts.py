"""Which names an endpoint answers to.

A page of a stranger may let its own name lead to this machine's address (DNS rebinding), and ask
the endpoint from the browser of whoever opened it; to the browser that is no other site. The `Host`
of such a request is the page's name, which the endpoint does not answer to. An address as `Host`
is nobody's name, so nothing can be rebound to it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from rayml.settings.serve import is_loopback

ANY = "*"
_FORM = re.compile(r"(\[[0-9a-f:.%]+\]|[^:@/\[\]\s]+)(?::(\d{1,5}))?")
# Of ports there are many, so names that come with one are not kept without end.
_MOST_KEPT = 1000


class Hosts:
    """Decides by the `Host` of a request, with one look-up for a host that came before.

    Args:
        bound: address or name that the endpoint is bound to. On a loopback one it answers to
            loopback addresses, on others to any address; to `localhost` and `bound` in any case.
        names: that it answers to besides; one with a port at that port alone, `*` is any.
    """

    def __init__(self, *, bound: str, names: Iterable[str] = ()) -> None:
        self._loopback = is_loopback(bound)
        self.names = ("localhost", bound.lower(), *(name.lower() for name in names))
        self._seen: set[bytes] = set()

    def knows(self, host: bytes) -> bool:
        """Whether a `Host` is one of the endpoint's."""
        if host in self._seen:
            return True
        known = self._decide(host.decode("latin-1").lower())
        if known and len(self._seen) < _MOST_KEPT:
            self._seen.add(host)
        return known

    def _decide(self, host: str) -> bool:
        if ANY in self.names:
            return True
        form = _FORM.fullmatch(host)
        if form is None:
            return False
        name = form[1].removesuffix(".")
        if name in self.names or host in self.names:
            return True
        try:
            address = ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return address.is_loopback or not self._loopback
