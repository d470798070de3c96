"""Keys: what is known of them, and what they allow."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayml.errors import ServeError
from rayml.serve.access.keys import SCOPES, Key, Keys, new_key, parse_keys, parse_scopes

scopes = st.sets(st.sampled_from(SCOPES), min_size=1)


def test_a_key_allows_its_scopes_and_nothing_else() -> None:
    reader, read = new_key("reader", ["predict"])
    boss, rule = new_key("boss", ["admin"])
    keys = Keys([read, rule])
    decisions = {
        (token, scope): keys.check(None if token is None else token.encode(), scope)
        for token in (reader, boss, "rayml_other", "", None)
        for scope in SCOPES
    }
    assert {pair: decision.status for pair, decision in decisions.items()} == {
        (reader, "predict"): 200,
        (reader, "admin"): 403,
        (reader, "feedback"): 403,
        (boss, "predict"): 403,
        (boss, "feedback"): 403,
        (boss, "admin"): 200,
        **{(token, scope): 401 for token in ("rayml_other", "", None) for scope in SCOPES},
    }
    assert "`rayml key NAME:predict,feedback serve.keys.file=PATH`" in (
        decisions[reader, "feedback"].reason
    )
    assert decisions[reader, "predict"].name == "reader"
    assert decisions["", "predict"].name is None
    assert all(bool(each.reason) == (each.status != 200) for each in decisions.values())


def test_several_keys_of_one_holder_are_accepted() -> None:
    (old, one), (new, two) = new_key("a", ["predict"]), new_key("a", ["predict"])
    assert old != new
    for token in (old, new):
        assert Keys([one, two]).check(token.encode(), "predict").status == 200
    assert Keys([two]).check(old.encode(), "predict").status == 401


def test_each_check_compares_with_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither which key it is nor that it is none can be told from the work."""
    made = [new_key(f"k{i}", ["predict"]) for i in range(5)]
    keys = Keys(key for _, key in made)
    compared = 0
    compare = hmac.compare_digest

    def counted(one: bytes, other: bytes) -> bool:
        nonlocal compared
        compared += 1
        assert len(one) == len(other) == 32
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    for token in (made[0][0], made[4][0], "x", "x" * 10_000):
        compared = 0
        keys.check(token.encode(), "predict")
        assert compared == 5


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True), scopes)
def test_a_key_survives_its_line(name: str, allowed: set) -> None:  # type: ignore[type-arg]
    token, key = new_key(name, allowed)
    text = f"# comment\n\n  {key.line()}  \n"
    (again,) = parse_keys(text, place="x").keys
    assert again == key
    assert token not in text
    assert len(token) > 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no key"),
        ("# only this", "holds no key"),
        ("a predict", r"line 1.*3|2 words"),
        ("a predict sha256:12", "64 hex digits"),
        (f"a predict sha256:{'0' * 64} more", "4 words"),
        (f"\na write sha256:{'0' * 64}", r"line 2.*scopes"),
        (f"a predict,predict sha256:{'0' * 64}", "scopes"),
        (f"a/b predict sha256:{'0' * 64}", "name"),
        ("a predict rayml_SECRETSECRETSECRETSECRETSECRETSECRET", "64 hex digits"),
    ],
)
def test_a_list_that_is_none_says_where_without_a_secret(text: str, message: str) -> None:
    with pytest.raises(ServeError, match=message) as caught:
        parse_keys(text, place="keys.txt")
    assert "keys.txt" in str(caught.value)
    assert "SECRET" not in str(caught.value)


def test_a_key_itself_stands_for_its_hash_where_that_is_allowed() -> None:
    token, key = new_key("a", SCOPES)
    assert parse_keys(f"a admin,predict,feedback {token}", place="$K", plain=True).keys == (key,)
    for short in ("hunter2", "sha256:0123456789012345678901234567890123456789"):
        with pytest.raises(ServeError, match="32 characters") as caught:
            parse_keys(f"a predict {short}", place="$K", plain=True)
        assert short not in str(caught.value)


def test_scopes_are_named_exactly() -> None:
    assert parse_scopes("admin,predict") == {"admin", "predict"}
    for wrong in ("", "predict,", "Admin", "all"):
        with pytest.raises(ServeError, match="scopes"):
            parse_scopes(wrong)


def test_a_name_is_short_and_plain() -> None:
    for wrong in ("", "a b", "-a", "a" * 65, "a\n"):
        with pytest.raises(ServeError, match="this name"):
            new_key(wrong, ["predict"])


def test_what_is_stored_shows_no_key() -> None:
    token, key = new_key("a", ["predict"])
    assert token not in repr(key)
    assert isinstance(key, Key)
