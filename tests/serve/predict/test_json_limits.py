"""Hostile JSON costs a bounded memory, and a large but honest body passes."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import pytest

from rayml.errors import RequestError
from rayml.registry.bundle.signature import InputColumn, Signature
from rayml.serve.predict.json_limits import JsonLimits
from rayml.serve.predict.row_parser import RequestParser
from rayml.types import TargetInfo

SIGNATURE = Signature(
    inputs=(InputColumn(name="size", kind="numeric"), InputColumn(name="kind", kind="categorical")),
    target=TargetInfo(name="y", task="binary", classes=("a", "b")),
)


def test_strings_may_hold_any_marks() -> None:
    parser = RequestParser(SIGNATURE, max_rows=10)
    marks = '{[:,"\\' * 50_000
    rows = [{"size": 1.0, "kind": marks}, {"kind": "\\" * 70_001}]
    assert parser.parse(json.dumps(rows).encode()) == rows


def test_the_largest_honest_body_passes() -> None:
    parser = RequestParser(SIGNATURE, max_rows=5000)
    rows = [{"size": 1.0, "kind": "a"}] * 5000
    for body in (rows, {"rows": rows}):
        assert len(parser.parse(json.dumps(body).encode())) == 5000


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" + b"{}," * 30_000 + b"{}]", 413),
        (b"{" + b'"x":1,' * 20_000 + b'"x":1}', 422),
        (b'{"size":[' + b"1," * 40_000 + b"1]}", 422),
        (b'{"kind":"{{{{{{", ' + b'"size":1,' * 20_000 + b'"size":1}', 422),
        (b'{"kind":"' + b"x" * 100_000, None),
    ],
)
def test_what_no_signature_needs_is_refused_uncounted_in_strings(
    body: bytes, status: int | None
) -> None:
    proportion = JsonLimits(max_rows=10, columns=2)
    if status is None:
        proportion.check(body)
        return
    with pytest.raises(RequestError) as caught:
        proportion.check(body)
    assert caught.value.status == status


def test_very_many_errors_are_counted_not_listed() -> None:
    parser = RequestParser(SIGNATURE, max_rows=10_000)
    body = b"{" + b",".join(b'"c%d":1' % n for n in range(2000)) + b"}"
    with pytest.raises(RequestError, match="2000 names or values do not fit") as caught:
        parser.parse(body)
    assert caught.value.status == 422
    assert len(str(caught.value)) < 1000


HOSTILE = """
    import resource, sys
    from rayml.errors import RequestError
    from rayml.registry.bundle.signature import InputColumn, Signature
    from rayml.serve.predict.row_parser import RequestParser
    from rayml.types import TargetInfo

    size = 8 * 2**20
    body = {
        "names": lambda: b"{" + b",".join(b'"%x":1' % n for n in range(700_000)) + b"}",
        "one name": lambda: b"{" + b'"x":1,' * (size // 6 - 1) + b'"x":1}',
        "rows": lambda: b"[" + b"{}," * (size // 3 - 1) + b"{}]",
        "objects": lambda: b'{"c0":[' + b"{}," * (size // 3 - 9) + b"1]}",
        "elements": lambda: b'{"c0":[' + b"1," * (size // 2 - 9) + b"1]}",
        "depth": lambda: b"[" * size,
        "digits": lambda: b'{"c0":' + b"1" * (size - 9) + b"}",
        "a string": lambda: b'{"c0":"' + b"{" * (size - 9) + b'"}',
    }[sys.argv[1]]()
    parser = RequestParser(
        Signature(
            inputs=tuple(InputColumn(name=f"c{n}", kind="numeric") for n in range(14)),
            target=TargetInfo(name="y", task="binary", classes=("a", "b")),
        ),
        max_rows=10_000,
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        parser.parse(body)
    except RequestError as error:
        assert len(str(error)) < 2000
        print(error.status, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize(
    "kind",
    ["names", "one name", "rows", "objects", "elements", "depth", "digits", "a string"],
)
def test_eight_hostile_megabytes_cost_a_few_times_as_much(kind: str) -> None:
    """Without the check they became up to 1.2 GB."""
    command = [sys.executable, "-c", textwrap.dedent(HOSTILE), kind]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    status, grown = map(int, done.stdout.split())
    assert 400 <= status < 500
    assert grown < 128 * 1024  # KiB
