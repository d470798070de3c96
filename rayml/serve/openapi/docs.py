"""The page at `/docs`: Swagger UI from an installed package, so that it works offline."""

from __future__ import annotations

from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path

from rayml.errors import ServeError
from rayml.serve.http.html import html_response
from rayml.serve.http.messages import Response

# Relative, so that they also resolve behind a proxy that strips a prefix.
ASSETS = {
    "swagger-ui-bundle.js": b"text/javascript",
    "swagger-ui.css": b"text/css",
    "favicon-32x32.png": b"image/png",
}
_PACKAGE = "swagger_ui"
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="docs/favicon-32x32.png">
<title>{title}</title>
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>
SwaggerUIBundle({{
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
}});
</script>
</body>
</html>
"""


def docs_pages(title: str) -> dict[str, Response]:
    """Answers of `/docs` and of the files that it loads, by path.

    Args:
        title: of the page.

    Raises:
        ServeError: the package swagger-ui-py, which has the files of Swagger UI (Apache-2.0), is
            not installed.
    """
    page = html_response(_PAGE.format(title=escape(title)).encode())
    return {"/docs": page, **_assets()}


@cache
def _assets() -> dict[str, Response]:
    # Importing the package would import handlers for the frameworks that it knows.
    spec = find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ServeError(
            "the package swagger-ui-py, whose files /docs loads, is not installed",
            remedy="Install it: pip install swagger-ui-py",
        )
    static = Path(spec.submodule_search_locations[0]) / "static"
    return {
        f"/docs/{name}": Response(200, (static / name).read_bytes(), content_type)
        for name, content_type in ASSETS.items()
    }
