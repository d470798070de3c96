"""Pages for people, with a policy that lets them load and run only their own content."""

from __future__ import annotations

import base64
import hashlib
import re

from rayml.serve.http.messages import Response

_INLINE = re.compile(rb"<(script|style)(?![^>]*\ssrc=)[^>]*>(.*?)</\1>", re.DOTALL)


def html_response(page: bytes) -> Response:
    """Answer with a page and the content security policy that it needs.

    The policy allows the page's own inline scripts and styles, by their hashes, and what it loads
    from this endpoint; nothing may frame it.

    Args:
        page: of HTML, complete.
    """
    headers = (
        (b"content-security-policy", content_security_policy(page).encode()),
        (b"referrer-policy", b"no-referrer"),
    )
    return Response(200, page, b"text/html; charset=utf-8", headers)


def content_security_policy(page: bytes) -> str:
    """The policy of a page (W3C, Content Security Policy Level 3)."""
    hashes = {b"script": "", b"style": ""}
    for kind, content in _INLINE.findall(page):
        digest = base64.b64encode(hashlib.sha256(content).digest()).decode()
        hashes[kind] += f" 'sha256-{digest}'"
    # Swagger UI and charts set styles of single elements, which no hash can name.
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self'{hashes[b'script']}",
            f"style-src-elem 'self'{hashes[b'style']}",
            "style-src-attr 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ]
    )
