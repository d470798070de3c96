"""A page's policy names exactly what the page brings."""

from __future__ import annotations

import base64
import hashlib

import pytest

from rayml.errors import ServeError
from rayml.serve.http.html import content_security_policy, html_response
from rayml.serve.openapi import docs
from rayml.serve.openapi.docs import docs_pages


def hash_of(content: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"


def directives(policy: str) -> dict[str, list[str]]:
    return {each.split()[0]: each.split()[1:] for each in policy.split("; ")}


def test_inline_scripts_and_styles_are_allowed_by_their_hashes() -> None:
    page = b"""<style>a {}</style><script src="x.js"></script>
    <script>one()</script><script type="module">
    two()</script>"""
    found = directives(content_security_policy(page))
    assert found["script-src"] == ["'self'", hash_of(b"one()"), hash_of(b"\n    two()")]
    assert found["style-src-elem"] == ["'self'", hash_of(b"a {}")]
    assert found["default-src"] == found["frame-ancestors"] == ["'none'"]
    assert "unsafe-inline" not in " ".join(found["script-src"])


def test_a_page_carries_it() -> None:
    response = html_response(b"<p>")
    headers = dict(response.headers)
    assert headers[b"content-security-policy"].decode() == content_security_policy(b"<p>")
    assert response.content_type.startswith(b"text/html")


def test_the_docs_run_their_own_script_alone() -> None:
    page = docs_pages("boxes")["/docs"]
    policy = dict(page.headers)[b"content-security-policy"].decode()
    script = page.body.partition(b"<script>")[2].partition(b"</script>")[0]
    assert b"SwaggerUIBundle" in script
    assert hash_of(script) in directives(policy)["script-src"]


def test_a_title_is_text() -> None:
    page = docs_pages("a <b> & c")["/docs"]
    assert b"<title>a &lt;b&gt; &amp; c</title>" in page.body


def test_files_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docs, "find_spec", lambda name: None)
    with pytest.raises(ServeError, match=r"not installed\. Install it: pip install swagger-ui-py"):
        docs._assets.__wrapped__()
