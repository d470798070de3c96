"""The page at `/`: the model card, a form made from the signature, and explained predictions.

It is the same for every model: it asks the endpoint for what it shows, as any client does, with a
key where keys are required, and shows the answers as text. So the page itself needs no key.
"""

from __future__ import annotations

from pathlib import Path

from rayml.serve.http.messages import Request, Response
from rayml.serve.model.served import ServedModel
from rayml.web.style import base_style, source_hash

_HERE = Path(__file__).parent


def front_page() -> Response:
    """Make the page with its policy: it runs its own script, and asks this endpoint alone."""
    style = base_style() + (_HERE / "page.css").read_text(encoding="utf-8")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    html = (_HERE / "page.html").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src '{source_hash(script)}'; "
        f"style-src '{source_hash(style)}'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = (
        (b"content-security-policy", policy.encode()),
        (b"referrer-policy", b"no-referrer"),
    )
    body = html.replace("{style}", style).replace("{script}", script).encode()
    return Response(200, body, b"text/html; charset=utf-8", headers)


_PAGE = front_page()


async def page(_request: Request, model: ServedModel) -> Response:
    """Answer with the page, and warm up explanations, which its reader asks for next."""
    model.expect_explanations()
    return _PAGE
