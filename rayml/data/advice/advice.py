"""Advice about a dataset before training: left-out columns, leaks, repeated rows, rare classes."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from rayml.data.advice.leaks import STRONG, repeats, strength
from rayml.data.advice.repeated import Repeated
from rayml.data.columns.identifiers import LEFT_OUT, runs_with_rows
from rayml.data.columns.numbers_with_text import has_decimal_commas, texts_among_numbers
from rayml.data.columns.schema import FeatureSchema
from rayml.storage.bounded import read_bounded
from rayml.tasks.table import task_type
from rayml.types import SplitName, TaskName

FILE = "advice.json"

Topic = Literal[
    "left out",
    "texts",
    "text among numbers",
    "row numbers",
    "target",
    "leak",
    "repeated rows",
    "rare class",
]

_SHOWN = 5  # columns of a topic
_VALUES = 4_000_000  # measured for leaks
_FEW_ROWS = 50
_MOST_BYTES = 1 << 22  # of the file: a few lines
_SPECIAL = re.compile(r"([\\,:{}\[\]()=])")


@dataclass(frozen=True)
class Advice:
    """One piece of advice.

    Attributes:
        topic: its subject.
        text: a sentence or two, for people.
        columns: that it concerns.
    """

    topic: Topic
    text: str
    columns: tuple[str, ...] = ()


def of_schema(schema: FeatureSchema) -> Iterator[Advice]:
    """Advice about columns that are left out, and how to keep them."""
    for reason in LEFT_OUT:
        found = [each for each in schema.summaries if each.note == reason]
        for each in found[:_SHOWN]:
            entry = f"{{{_escaped(each.name)}: {each.inferred or 'categorical'}}}"
            keep = _override("+data.schema.kinds", entry, each.name)
            text = f"column {each.name!r} is left out: it {reason}; keep it with {keep}"
            yield Advice("left out", text, (each.name,))
        if more := [each.name for each in found[_SHOWN:]]:
            text = f"{len(more)} more columns are left out for the same reason: {_few(more)}"
            yield Advice("left out", text, tuple(more))


def of_rows(
    schema: FeatureSchema, rows: pa.Table, task: TaskName, total: int | None = None
) -> Iterator[Advice]:
    """Advice about numbers with text among them, row numbers, and leaks of the target.

    A column leaks if it repeats the target or nearly determines it alone.

    Args:
        schema: of the rows.
        rows: some training rows, typed, in random order.
        task: what is predicted.
        total: number of rows of the dataset; None if only these are known.
    """
    target, has_classes = rows.column(schema.target), task_type(task).has_classes
    looked = rows.slice(0, max(_FEW_ROWS, _VALUES // max(len(schema.columns), 1)))
    leaks: list[tuple[float, str]] = []
    for column in schema.columns:
        values = rows.column(column.name)
        if column.kind == "categorical":
            hidden = column.name in schema.hidden
            yield from _among_numbers(column.name, values, hidden=hidden)
        if column.kind == "numeric":
            numbers = values.drop_null().to_numpy()
            whole = bool((numbers == numbers.round()).all()) and len(numbers) > 0
            if whole and runs_with_rows(numbers, len(values), total or len(values)):
                text = f"column {column.name!r} numbers the rows; if it has no meaning, "
                yield Advice("row numbers", text + _ignore(column.name), (column.name,))
        if repeats(values, target, has_classes=has_classes):
            text = (
                f"column {column.name!r} repeats the target {schema.target!r}; if it is not known "
                f"at prediction time, {_ignore(column.name)}"
            )
            yield Advice("target", text, (column.name,))
        elif looked.num_rows >= _FEW_ROWS:
            part = (looked.column(name) for name in (column.name, schema.target))
            found = strength(next(part), column.kind, next(part), has_classes=has_classes)
            if found > STRONG:
                leaks.append((found, column.name))
    yield from _leaks(sorted(leaks, key=lambda leak: (-leak[0], leak[1])), schema.target, task)


def of_splits(
    repeated: Repeated,
    sizes: Mapping[SplitName, int],
    target: str,
    classes: Mapping[SplitName, Mapping[str, int]],
) -> Iterator[Advice]:
    """Advice about rows that are in more than one split, and classes that a split lacks.

    Args:
        repeated: rows that training has too.
        sizes: numbers of rows.
        target: the column that is predicted.
        classes: rows by class, of each split that has rows; empty for a regression.
    """
    counts: dict[SplitName, int] = {"validation": repeated.validation, "test": repeated.test}
    shared = [f"{n:,} of {sizes[s]:,} {s} rows" for s, n in counts.items() if n]
    if shared:
        text = f"{' and '.join(shared)} equal a training row"
        yield Advice("repeated rows", text)
    lacking = [
        label
        for label in classes.get("train", {})
        if not all(seen.get(label) for seen in classes.values())
    ]
    if lacking:
        text = (
            f"the validation or the test split has no row of class {_few(lacking)} of column"
            f" {target!r}; metrics there leave such classes out"
        )
        yield Advice("rare class", text)


def save_advice(folder: Path, advice: Sequence[Advice]) -> None:
    """Write advice into the folder of a prepared dataset."""
    text = json.dumps([asdict(each) for each in advice], indent=1, ensure_ascii=False)
    (folder / FILE).write_text(text + "\n", encoding="utf-8")


def read_advice(folder: Path) -> tuple[Advice, ...]:
    """The advice that `save_advice` wrote; none if an older rayml prepared the dataset."""
    path = folder / FILE
    if not path.is_file():
        return ()
    found = json.loads(read_bounded(path, _MOST_BYTES))
    return tuple(Advice(each["topic"], each["text"], tuple(each["columns"])) for each in found)


def _among_numbers(name: str, values: pa.ChunkedArray, *, hidden: bool) -> Iterator[Advice]:
    if has_decimal_commas(values):
        text = (
            f"column {name!r} is categorical, since its numbers have a decimal comma; if the file"
            " is CSV, set 'data.source.csv.decimal=\",\"'"
        )
        yield Advice("text among numbers", text, (name,))
    found = texts_among_numbers(values)
    if not found:
        return
    listed = ", ".join(f"{text!r} ({count:,} times)" for text, count in found.items())
    tokens = json.dumps(list(found), ensure_ascii=False)
    entry = _override("data.schema.missing", tokens, "".join(found))
    text = (
        f"column {name!r} is categorical, since its numbers have"
        f" {'text' if hidden else listed} among them; if that means a missing value,"
        f" {'name it in data.schema.missing' if hidden else f'set {entry}'}"
    )
    yield Advice("text among numbers", text, (name,))


def _leaks(leaks: Sequence[tuple[float, str]], target: str, task: TaskName) -> Iterator[Advice]:
    measure = "AUROC" if task_type(task).has_classes else "R² or rank correlation"
    for found, name in leaks[:_SHOWN]:
        text = (
            f"column {name!r} alone nearly determines the target {target!r} ({measure} "
            f"{min(found, 1):.4f}); if it is not known at prediction time, {_ignore(name)}"
        )
        yield Advice("leak", text, (name,))
    if more := [name for _, name in leaks[_SHOWN:]]:
        text = f"{len(more)} more columns each nearly determine the target: {_few(more)}"
        yield Advice("leak", text, tuple(more))


def _ignore(name: str) -> str:
    return f"leave it out with {_override('data.schema.ignore', f'[{_escaped(name)}]', name)}"


def _override(key: str, value: str, name: str) -> str:
    """An override as a shell takes it; the key alone if Hydra takes the name only in files."""
    return key if {"'", '"'} & set(name) else shlex.quote(f"{key}={value}")


def _escaped(name: str) -> str:
    """A name in Hydra's grammar of overrides."""
    return _SPECIAL.sub(r"\\\1", name)


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + more
