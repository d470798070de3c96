from __future__ import annotations

from typing import Any

import pytest

from rayml.data.sources.files import FileSource
from rayml.data.sources.sources import gives_splits
from rayml.data.split.split_method import choose_method
from rayml.errors import ConfigError
from rayml.settings.data import SplitSettings

BY_FILES = FileSource({"train": "a.csv", "test": "b.csv"})


def test_classes_are_drawn_by_class_and_numbers_are_not() -> None:
    assert choose_method(SplitSettings(), "binary").method == "stratified"
    assert choose_method(SplitSettings(), "multiclass").method == "stratified"
    assert choose_method(SplitSettings(), "regression").method == "random"
    assert choose_method(SplitSettings(method="random"), "binary").method == "random"


@pytest.mark.parametrize("named", [{}, {"method": "given", "column": "split"}])
def test_files_that_are_named_for_splits_give_them(named: dict[str, Any]) -> None:
    chosen = choose_method(SplitSettings(**named), "binary", given=gives_splits(BY_FILES))
    assert (chosen.method, chosen.column) == ("given", "split")


@pytest.mark.parametrize(
    "named",
    [
        {"method": "random"},
        {"method": "stratified"},
        {"method": "group", "column": "user"},
        {"method": "given", "column": "fold"},
    ],
)
def test_nothing_mixes_the_rows_of_those_files(named: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="would mix their rows"):
        choose_method(SplitSettings(**named), "binary", given=gives_splits(BY_FILES))


def test_a_list_of_files_gives_no_splits() -> None:
    listed = FileSource(["a.csv", "b.csv"])
    assert not gives_splits(listed)
