"""Bodies: what is taken, and what each wrong one is answered with."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.data.columns.kinds import parse
from rayml.errors import RequestError
from rayml.registry.bundle.signature import InputColumn, Signature
from rayml.serve.predict.row_parser import RequestParser
from rayml.types import TargetInfo

SIGNATURE = Signature(
    inputs=(
        InputColumn(name="mean radius", kind="numeric"),
        InputColumn(name="colour", kind="categorical"),
        InputColumn(name="new", kind="boolean"),
        InputColumn(name="seen", kind="timestamp"),
    ),
    target=TargetInfo("y", "binary", ("a", "b")),
)
PARSER = RequestParser(SIGNATURE, max_rows=3)
ROW = {"mean radius": 1.5, "colour": "red", "new": True}


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(ROW),
        json.dumps([ROW]),
        json.dumps({"rows": [ROW]}),
        ' \n{ "rows" :\t[' + json.dumps(ROW) + "] }\n",
    ],
)
def test_the_three_forms_of_a_body(body: str) -> None:
    assert PARSER.parse(body.encode()) == [ROW]


def test_values_come_in_their_natural_types() -> None:
    body = b"""[{"mean radius": 7, "colour": 3, "seen": "2024-05-17T10:30:00+02:00"},
                {"mean radius": null, "new": false, "seen": "2024-05-17T08:30:00"}]"""
    first, second = PARSER.parse(body)
    assert type(first["mean radius"]) is float
    assert first["colour"] == "3"
    assert first["seen"] == datetime(2024, 5, 17, 8, 30, tzinfo=UTC)
    assert second == {
        "mean radius": None,
        "new": False,
        "seen": datetime(2024, 5, 17, 8, 30, tzinfo=UTC),
    }


def refused(body: bytes) -> RequestError:
    with pytest.raises(RequestError) as raised:
        PARSER.parse(body)
    return raised.value


@pytest.mark.parametrize(
    ("value", "column"),
    [
        ('"1"', "mean radius"),
        ("true", "mean radius"),
        ("NaN", "mean radius"),
        ("-Infinity", "mean radius"),
        ("1e999", "mean radius"),
        ("1" + "0" * 400, "mean radius"),
        ("[1]", "mean radius"),
        ('{"a": 1}', "mean radius"),
        ("[" * 100 + "]" * 100, "mean radius"),
        ("1.5", "colour"),
        ("true", "colour"),
        ("[]", "colour"),
        ("1.0625", "colour"),
        ("9007199254740992.0", "colour"),
        ("2", "new"),
        ("0.5", "new"),
        ('"true"', "new"),
        ("1700000000", "seen"),
        ('"yesterday"', "seen"),
        ('"2024-13-01T00:00:00Z"', "seen"),
        ('"1700000000"', "seen"),
        ('""', "seen"),
    ],
)
def test_a_value_of_another_kind_is_named_by_row_and_column(value: str, column: str) -> None:
    error = refused(f'[{{"colour": "x"}}, {{"{column}": {value}}}]'.encode())
    assert (error.status, error.row, error.column) == (422, 1, column)
    assert f"row 1, column '{column}'" in str(error)
    assert len(str(error)) < 500


def test_an_unknown_column_is_named_with_the_known_ones() -> None:
    error = refused(b'{"rows": [{"colour": "x"}, {"color": "x"}]}')
    assert (error.status, error.row, error.column) == (422, 1, "color")
    assert "Did you mean 'colour'?" in str(error)
    assert "mean radius, colour, new, seen" in str(error)


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "JSON"),
        (b"{", 400, "JSON"),
        (b"mean radius=1", 400, "JSON"),
        (b'{"mean radius": 1} 2', 400, "JSON"),
        (b'{"colour": "\xff"}', 400, "JSON"),
        (b"[" * 100_000, 400, "JSON"),
        (b'{"mean radius": 1' + b"0" * 5000 + b"}", 400, "JSON"),
        (b'{"mean radius": 1, "mean radius": 2}', 400, "twice"),
        (b'{"colour": "a:b", "colour": "c"}', 400, "twice"),
        (b'{"rows": [{"new": true}], "rows": [{"new": true}]}', 400, "twice"),
        (b'{"colour": "x", "\\u0063olour": "y"}', 400, "twice"),
        (b"[]", 422, "no row"),
        (b'{"rows": []}', 422, "no row"),
        (b"{}", 422, "no column"),
        (b'[{"new": true}, {}]', 422, "no column"),
        (b"[1]", 422, "row 0"),
        (b'[{"new": true}, null]', 422, "row 1"),
        (b"3", 422, "object"),
        (b"null", 422, "object"),
        (b'"text"', 422, "object"),
        (b'{"rows": [{"new": true}], "id": 1}', 422, "'id'"),
        (b'{"rows": 3}', 422, "rows"),
        (b"[{},{},{},{}]", 413, "3 rows"),
        (b'{"rows": [' + b'{"new":true},' * 9 + b'{"new":true}]}', 413, "3 rows"),
    ],
)
def test_a_body_that_is_wrong_as_a_whole(body: bytes, status: int, message: str) -> None:
    error = refused(body)
    assert error.status == status
    assert message in str(error)


def test_a_colon_in_a_value_is_no_repeated_key() -> None:
    body = b'{"colour": "a:b:c", "seen": "2024-05-17T08:30:00Z"}'
    assert PARSER.parse(body)[0]["colour"] == "a:b:c"


def test_a_column_named_rows_stays_a_column() -> None:
    column = InputColumn(name="rows", kind="numeric")
    parser = RequestParser(Signature(inputs=(column,), target=SIGNATURE.target), max_rows=3)
    assert parser.parse(b'{"rows": 3}') == [{"rows": 3.0}]
    assert parser.parse(b'{"rows": [{"rows": 3}]}') == [{"rows": 3.0}]
    with pytest.raises(RequestError) as raised:
        parser.parse(b'[{"rows": "x"}]')
    assert raised.value.column == "rows"


zones = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = (
    st.datetimes(timezones=st.none() | zones).map(datetime.isoformat)
    | st.dates().map(date.isoformat)
    | st.sampled_from(["20240517", "20240517T0830", "2024-W20-5", " 2024-05-17 08:30:00Z"])
    | st.text("0123456789-:TZ+. ")
)


@given(times)
def test_times_are_read_as_training_reads_them(text: str) -> None:
    column, misfits = parse(pa.array([text]), "timestamp")
    body = json.dumps({"seen": text}).encode()
    if misfits.any():
        assert refused(body).column == "seen"
    else:
        [row] = PARSER.parse(body)
        assert pa.array([row["seen"]], column.type) == column


rows = st.fixed_dictionaries(
    {},
    optional={
        "mean radius": st.none() | st.floats(allow_nan=False, allow_infinity=False),
        "colour": st.none() | st.text(st.characters(codec="utf-8")),
        "new": st.none() | st.booleans(),
    },
).filter(bool)


@given(st.lists(rows, min_size=1, max_size=3))
def test_what_json_can_say_arrives_exactly(sent: list[dict[str, object]]) -> None:
    for ascii_only in (True, False):
        body = json.dumps({"rows": sent}, ensure_ascii=ascii_only).encode()
        assert PARSER.parse(body) == sent


@given(
    st.binary()
    | st.text().map(str.encode)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.sampled_from(["rows", "new", "x"]), inner)
        ),
    )
    .map(json.dumps)
    .map(str.encode)
)
def test_any_body_is_parsed_or_refused(body: bytes) -> None:
    try:
        outcome = len(PARSER.parse(body))
    except RequestError as error:
        outcome = error.status
    assert outcome in {1, 2, 3, 400, 413, 422}
