"""The page at `/docs`: Swagger UI from an installed package, so that it works offline."""

from __future__ import annotations

from importlib.resources import files

from rayml.serve.http.html import html_response
from rayml.serve.http.messages import Response

# Relative, so that they also resolve behind a proxy that strips a prefix.
ASSETS = {
    "swagger-ui-bundle.js": b"text/javascript",
    "swagger-ui.css": b"text/css",
    "favicon.png": b"image/png",
}


def docs_pages(title: str) -> dict[str, Response]:
    """Answers of `/docs` and of the files that it loads, by path.

    Swagger UI (Apache-2.0) comes from the package fastapi-offline, which bundles the files that
    FastAPI's own page would load from a content network.
    """
    from fastapi.openapi.docs import get_swagger_ui_html

    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=title,
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
    )
    static = files("fastapi_offline") / "static"
    assets = {
        f"/docs/{name}": Response(200, (static / name).read_bytes(), content_type)
        for name, content_type in ASSETS.items()
    }
    return {"/docs": html_response(bytes(page.body)), **assets}
