"""Signatures read from source are those that an import would give."""

from __future__ import annotations

import inspect

import pytest

from rayml.config.components.build import locate
from rayml.config.components.parameters import is_own, read_parameters

SHIPPED = [
    "rayml.models.nets.mlp.MLP",
    "rayml.models.nets.resnet.TabularResNet",
    "rayml.data.sources.bundled.SklearnSource",
    "rayml.data.sources.files.FileSource",
    "rayml.data.sources.sql.SqlSource",
    "rayml.data.sources.uci.AdultSource",
    "rayml.data.sources.uci.OnlineShoppersSource",
    "rayml.tasks.table.build_task",
]


@pytest.mark.parametrize("path", SHIPPED)
def test_reads_what_an_import_gives(path: str) -> None:
    read, imported = read_parameters(path), inspect.signature(locate(path))
    assert is_own(path)
    assert read is not None
    assert [(p.name, p.kind) for p in read.parameters.values()] == [
        (p.name, p.kind) for p in imported.parameters.values()
    ]
    assert [p.default is p.empty for p in read.parameters.values()] == [
        p.default is p.empty for p in imported.parameters.values()
    ]


def test_defaults_read_as_they_are_written() -> None:
    assert "depth: 'int' = 2" in str(read_parameters("rayml.models.nets.mlp.MLP"))


@pytest.mark.parametrize(
    "path",
    [
        "rayml.models.nets.mlp.Nothing",
        "rayml.nowhere.Model",
        "rayml.nowhere.deeper.Model",
        "rayml.tasks.binary.BinaryTask",  # inherits its constructor
        "rayml.settings.train.TrainSettings",  # a decorator makes it
    ],
)
def test_leaves_to_an_import_what_the_source_does_not_tell(path: str) -> None:
    assert read_parameters(path) is None
