"""Errors say problem, value and remedy, and survive the way from a worker to the driver."""

from __future__ import annotations

import pickle

from rayml.errors import ConfigError, InvalidConfigError, RaymlError, RequestError


def test_message_holds_problem_value_and_remedy() -> None:
    error = RaymlError("the port is already in use", found=8000, remedy="Choose another")
    assert str(error) == "the port is already in use: 8000. Choose another"


def test_message_without_value_or_remedy() -> None:
    assert str(RaymlError("a problem")) == "a problem"
    assert str(RaymlError("a problem", found=None)) == "a problem: None"


def test_long_values_are_cut() -> None:
    assert len(str(RaymlError("a problem", found="x" * 10_000))) < 300


def test_problems_are_reported_together() -> None:
    error = InvalidConfigError(["a.b: unknown key", "c: a value is missing"])
    assert str(error).splitlines() == [
        "2 problems in the config:",
        "  a.b: unknown key",
        "  c: a value is missing",
    ]
    assert isinstance(error, ConfigError)
    assert error.exit_code == 2


def test_errors_cross_process_boundaries_unchanged() -> None:
    # Ray pickles what a task raises.
    error = RequestError("a problem", status=422, found=1, remedy="Mend it", row=3, column="age")
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert (again.status, again.row, again.column, again.problem) == (422, 3, "age", "a problem")
    again = pickle.loads(pickle.dumps(InvalidConfigError(["x"])))
    assert again.problems == ("x",)
