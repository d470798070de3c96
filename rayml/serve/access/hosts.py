"""The host names that an endpoint answers to, against DNS rebinding.

A web page can point its own name at this machine's address, and use the endpoint from the browser
of a visitor; the browser then takes both for the same site. The `Host` of such a request is the
page's name, which the endpoint does not know. An IP address as `Host` is no name, so nothing can
point it elsewhere.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

from rayml.settings.serve import is_loopback

ANY = "*"
_FORM = re.compile(r"(\[[0-9a-f:.%]+\]|[^:@/\[\]\s]+)(?::(\d{1,5}))?")
# The cache is bounded, since any port may follow a name.
_MOST_KEPT = 1000


class Hosts:
    """Decides by the `Host` of a request; a host that was known before costs one look-up.

    Args:
        bound: address or name that the endpoint is bound to. Bound to loopback it answers to
            loopback addresses, else to any address; always to `localhost` and `bound`.
        names: further names; one with a port counts at that port alone, `*` is any name.
    """

    def __init__(self, *, bound: str, names: Iterable[str] = ()) -> None:
        self._loopback = is_loopback(bound)
        self.names = ("localhost", bound.lower(), *(name.lower() for name in names))
        self._seen: set[bytes] = set()

    def knows(self, host: bytes) -> bool:
        """Whether the endpoint answers to a `Host`."""
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
