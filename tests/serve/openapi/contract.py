"""Holds answers against an OpenAPI document."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
from jsonschema import Draft202012Validator

_PARAMETER = re.compile(r"\$?\{[^}]*\}")


class Contract:
    """What an OpenAPI document promises.

    Args:
        document: OpenAPI 3.
        closed: whether an object may hold nothing that its schema does not name.
    """

    def __init__(self, document: dict[str, Any], *, closed: bool) -> None:
        self.document = copy.deepcopy(document)
        if closed:
            _close(self.document["components"]["schemas"])
        self.seen: set[tuple[str, str, str]] = set()

    def promised(self) -> Iterator[tuple[str, str, str]]:
        """Every path, method and status."""
        for path, methods in self.document["paths"].items():
            for method in methods.keys() - {"parameters"}:
                for status in methods[method]["responses"]:
                    yield path, method, status

    def check(self, response: httpx.Response) -> None:
        """Hold an answer against the operation that its request asked for."""
        method, path = response.request.method.lower(), response.request.url.path
        template = self._template(path, method)
        status = str(response.status_code)
        promised = self.document["paths"][template][method]["responses"]
        assert status in promised, (template, status, response.text)
        self.seen.add((template, method, status))
        self._check_headers(promised[status], response)
        content = promised[status].get("content")
        if content is None:
            return
        kind = response.headers["content-type"].partition(";")[0]
        assert kind in content, (template, status, kind)
        if kind == "application/json":
            self.validate(response.json(), content[kind]["schema"])

    def validate(self, value: object, schema: dict[str, Any]) -> None:
        """Hold a value against a schema of the document."""
        # As a document of its own it finds what it refers to.
        whole = {**schema, "components": self.document["components"]}
        Draft202012Validator(whole).validate(value)

    def _template(self, path: str, method: str) -> str:
        found = [
            template
            for template, methods in self.document["paths"].items()
            if method in methods and _pattern(template).fullmatch(path)
        ]
        assert len(found) == 1, (method, path, found)
        return found[0]

    def _check_headers(self, promised: dict[str, Any], response: httpx.Response) -> None:
        for name, header in promised.get("headers", {}).items():
            value = response.headers.get(name)
            if response.status_code != 200:
                assert value is not None, (name, response.status_code)
            if value is not None:
                number = header["schema"]["type"] == "integer"
                self.validate(json.loads(value) if number else value, header["schema"])


def _pattern(template: str) -> re.Pattern[str]:
    return re.compile("[^/]+".join(map(re.escape, _PARAMETER.split(template))))


def _close(node: object) -> None:
    if isinstance(node, dict):
        if node.get("type") == "object" and "properties" in node:
            node.setdefault("additionalProperties", False)
        for each in node.values():
            _close(each)
    elif isinstance(node, list):
        for each in node:
            _close(each)
