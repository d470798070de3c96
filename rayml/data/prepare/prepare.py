"""Prepares a dataset: read, infer the schema, split, fit, transform, store.

Rows pass through Ray Data's workers in blocks, and the driver holds only bounded state: a sample
for the schema, counts for the thresholds of the split, and the statistics of columns. Each result
depends on the rows and the settings alone, never on the division in blocks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayml.config.components.moved import stored_name
from rayml.data.advice.advice import Advice, of_rows, of_schema, of_splits, save_advice
from rayml.data.advice.repeated import Repeated, compared_below, count_repeated
from rayml.data.columns.origin import ORDER
from rayml.data.columns.schema import FeatureSchema
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.prepare import prepared as store_format
from rayml.data.prepare.blocks import (
    Bad,
    Count,
    Hash,
    Observe,
    Some,
    Write,
    split_start,
)
from rayml.data.prepare.folding import write_folds
from rayml.data.prepare.passes import (
    Rows,
    collect,
    count_rows,
    own_errors,
    read_once,
)
from rayml.data.prepare.placing import counted, placed_rows, sorted_rows
from rayml.data.prepare.prepared import MAX_TEST_ROWS, QUARANTINE, PreparedDataset, open_prepared
from rayml.data.prepare.sampling import sample_rows
from rayml.data.prepare.store import hash_of, writing
from rayml.data.prepare.texts import Texts, encode, of_texts, with_text_kinds
from rayml.data.rows.coerce import BAD_ROWS, Coercer
from rayml.data.rows.infer_schema import infer_schema
from rayml.data.rows.quarantine import BadRows
from rayml.data.sources.sources import CsvSource, Source, gives_splits, missing_tokens
from rayml.data.split.dealing import Dealer
from rayml.data.split.split import Splitter, column_of, read_columns
from rayml.data.split.split_method import choose_method
from rayml.data.statistics.statistics import Statistics, merge_all
from rayml.data.statistics.target import check_each_split, check_seen, check_task
from rayml.data.text.reader import TextReader
from rayml.settings.data import (
    NO_TEXTS,
    PreprocessSettings,
    SchemaSettings,
    SplitSettings,
    TextSettings,
)
from rayml.tasks.table import task_type
from rayml.timing import Stopwatch
from rayml.types import SPLITS, ClassLabel, SplitName, TaskName

__all__ = ["PreparedDataset", "open_prepared", "prepare"]

SAMPLE_ROWS = 10_000

# Version of the rules that choose features and splits. It is part of the hash, so that one hash
# means one result; data that were prepared by other rules can still be opened.
_RULES = 2

_Classes = Mapping[SplitName, Mapping[str, int]]
Policy = Literal["fail", "quarantine"]
Progress = Callable[[str], None]


def prepare(
    source: Source,
    *,
    store: Path,
    target: str,
    task: TaskName,
    schema: SchemaSettings,
    split: SplitSettings,
    preprocess: PreprocessSettings,
    text: TextSettings = NO_TEXTS,
    bad_rows: Policy = "fail",
    positive: ClassLabel | None = None,
    on_progress: Progress | None = None,
) -> PreparedDataset:
    """Prepare a dataset, or find it in the store if the same was prepared before.

    Args:
        source: of the rows.
        store: folder of prepared datasets, which all nodes of the cluster see.
        target: the column that is predicted.
        task: what is predicted.
        schema: see `SchemaSettings`.
        split: how rows are divided into train, validation and test.
        preprocess: how features are prepared.
        text: how columns of texts are.
        bad_rows: `fail` raises an error that names the first bad rows; `quarantine` writes
            them to a file and continues without them.
        positive: label of the positive class of a binary task; None takes the last in order.
        on_progress: called with the name of each step as it begins.

    Raises:
        ConfigError: the split's method would mix the splits that the source gives, or an encoder
            of texts cannot be used.
        SourceError: the source cannot be read.
        SchemaError: the settings name absent columns, or kinds that do not fit.
        BadRowsError: there are bad rows, under the policy `fail`.
        StorageError: the store's disk is full or read-only.
        DataError: a split is empty, a class is unknown to training, or the target does not suit
            the task.
    """
    split = choose_method(split, task, given=gives_splits(source))
    schema = with_text_kinds(schema, text)
    plan = _Preparation(
        source, target, task, schema, split, preprocess, bad_rows, positive,
        Texts.of(schema, text, store), on_progress or (lambda _: None),
    )  # fmt: skip
    digest = plan.digest()
    folder = store.resolve() / digest
    if (folder / store_format.MANIFEST).is_file():
        return plan.with_tokens(open_prepared(folder))
    with own_errors(store), writing(folder) as temporary:
        made = plan.run(temporary, digest)
    return dataclasses.replace(made, path=folder)


@dataclass
class _Preparation:
    """One run of the steps of preparing."""

    source: Source
    target: str
    task: TaskName
    schema_settings: SchemaSettings
    split_settings: SplitSettings
    preprocess_settings: PreprocessSettings
    policy: Policy
    positive: ClassLabel | None
    texts: Texts
    progress: Progress

    @cached_property
    def fingerprint(self) -> str:
        """The source's fingerprint, computed once: it may read all rows."""
        return self.source.fingerprint()

    def digest(self) -> str:
        """Hash of everything that the result depends on."""
        kind = type(self.source)
        settings: dict[str, Any] = {
            name: dataclasses.asdict(value)
            for name, value in (
                ("schema", self.schema_settings),
                ("split", self.split_settings),
                ("preprocess", self.preprocess_settings),
            )
        }
        # Data that were prepared before these settings existed keep their hash.
        for name, usual in (("missing", ()), ("private", ()), ("max_published", 100)):
            if settings["schema"][name] == usual:
                del settings["schema"][name]
        if not self.split_settings.folds:
            del settings["split"]["folds"], settings["split"]["gap"]
        return hash_of(
            {
                "format": store_format.FORMAT,
                "rules": _RULES,
                "source": [stored_name(f"{kind.__module__}.{kind.__qualname__}"), self.fingerprint],
                "target": self.target,
                "task": self.task,
                "bad_rows": self.policy,
                "positive": self.positive,
                **settings,
                **self.texts.content(),
            }
        )

    def with_tokens(self, found: PreparedDataset) -> PreparedDataset:
        """A stored dataset with its tokens, which an older rayml did not store.

        They are part of the source's fingerprint and of the settings, so it was prepared with the
        same ones.
        """
        if found.schema.missing:
            return found
        tokens = (*missing_tokens(self.source), *self.schema_settings.missing)
        fitted = found.preprocessor.reading(tuple(dict.fromkeys(tokens)))
        return dataclasses.replace(found, preprocessor=fitted)

    def run(self, folder: Path, digest: str) -> PreparedDataset:
        """Prepare into an empty folder."""
        watch = Stopwatch()
        with watch.stage("read"):
            self.progress("reading the source")
            raw = read_once(self.source.read())
        with watch.stage("schema"):
            schema = self._schema(raw)
        with watch.stage("split"):
            self.progress("splitting")
            coerce = self._coercer(schema)
            splitter = Splitter(self.split_settings, schema, self.task)
            rows, counts, bad = counted(raw, Count(coerce, splitter))
            self._handle_bad(bad, rows, raw, coerce, folder)
            plan, placed = placed_rows(raw, coerce, splitter, counts, self.split_settings.seed)
            if texts := self.texts.readers(schema):
                self.progress("encoding texts")
                encode(placed, texts)
            placed = sorted_rows(placed, plan, schema)
        with watch.stage("fit"):
            self.progress("fitting the preprocessor")
            fitted, classes, cut = self._fit(placed, schema, texts)
            fitted.save(folder / "preprocessor")
        with watch.stage("write"):
            self.progress("writing the prepared splits")
            written = pa.concat_tables(collect(placed, Write(fitted, folder)))
            if self.split_settings.folds:
                dealer = Dealer(self.split_settings, self.target, self.task)
                write_folds(placed, dealer, fitted.target, folder)
            samples = _samples(placed, plan.sizes)
            _write_test_rows(samples["test"], schema, folder)
        with watch.stage("advise"):
            sizes = dict(zip(SPLITS, plan.sizes, strict=True))
            repeated = _repeated(placed, schema, sum(plan.sizes))
            save_advice(
                folder,
                [
                    *of_schema(schema),
                    *cut,
                    *of_rows(schema, samples["train"], self.task, sum(plan.sizes)),
                    *of_splits(repeated, sizes, self.target, classes),
                ],
            )
        made = PreparedDataset(
            path=folder,
            hash=digest,
            source=self.fingerprint,
            preprocessor=fitted,
            rows=_rows(written),
            quarantined=bad.total,
            reasons=bad.counts,
            timings=watch.rows(),
            reused=False,
            csv=self.source.dialect if isinstance(self.source, CsvSource) else None,
            folds=self.split_settings.folds,
        )
        made.save_manifest()
        return made

    def _schema(self, raw: Rows) -> FeatureSchema:
        rows = sample_rows(raw, SAMPLE_ROWS)
        reserved, carry = read_columns(self.split_settings)
        schema = infer_schema(
            rows,
            target=self.target,
            settings=self.schema_settings,
            reserved=reserved,
            carry=carry,
            missing=missing_tokens(self.source),
            index=getattr(self.source, "index_columns", ()),
            rows=count_rows(raw),
        )
        check_task(self.target, schema.target_kind, self.task)
        return schema

    def _coercer(self, schema: FeatureSchema) -> Coercer:
        settings = self.split_settings
        if settings.method not in ("given", "group", "time"):
            return Coercer(schema, required=(self.target,))
        column = column_of(settings)
        given = column if settings.method == "given" else None
        return Coercer(schema, required=(self.target, column), given=given)

    def _handle_bad(
        self, bad: BadRows, rows: int, raw: Rows, coerce: Coercer, folder: Path
    ) -> None:
        if not bad.total:
            return
        if self.policy == "fail" or bad.total == rows:
            raise bad.error(rows)
        self.progress(f"quarantining {bad.total} of {rows} rows")
        with pq.ParquetWriter(folder / QUARANTINE, BAD_ROWS) as writer:
            for part in collect(raw, Bad(coerce)):
                writer.write_table(part.cast(BAD_ROWS))

    def _fit(
        self, placed: Rows, schema: FeatureSchema, texts: Mapping[str, TextReader]
    ) -> tuple[Preprocessor, _Classes, list[Advice]]:
        """The preprocessor, the rows of each class by split, and advice about cut texts."""
        texts = self.texts.reduced(placed, texts)
        parts: dict[tuple[int, int], Statistics] = {}
        for state in _states(collect(placed, Observe(schema, self.task, texts))):
            parts.update(state)
        # Merged in the order of the rows, so that not even the last bit depends on timing.
        merged = [
            merge_all(parts[place] for place in sorted(parts) if place[0] == split)
            for split in range(len(SPLITS))
        ]
        settings = self.preprocess_settings
        fitted = Preprocessor.fit(schema, merged[0], settings, self.task, self.positive, texts)
        classes: dict[SplitName, Mapping[str, int]] = {}
        if task_type(self.task).has_classes:
            classes = {
                split: seen.categories[self.target].counts
                for split, seen in zip(SPLITS, merged, strict=True)
                if self.target in seen.categories  # with folds no row only validates
            }
            for split in classes:
                check_seen(fitted.target, split, list(classes[split]))
            given = self.split_settings.method == "given"
            check_each_split(fitted.target, classes, given=given)
        return fitted, classes, list(of_texts(texts, merged[0].numeric))


def _samples(placed: Rows, sizes: Sequence[int]) -> dict[SplitName, pa.Table]:
    """Some raw rows of train and test, in their order; none of validation."""
    train, _, test = (ceil(rows / MAX_TEST_ROWS) for rows in sizes)
    rows = pa.concat_tables(collect(placed, Some((train, 0, test)))).sort_by(ORDER)
    order = rows.column(ORDER).to_numpy()
    ends = np.searchsorted(order, [split_start(split) for split in range(len(SPLITS) + 1)])
    return {
        split: rows.slice(start, end - start).drop_columns([ORDER])
        for split, start, end in zip(SPLITS, ends[:-1], ends[1:], strict=True)
    }


def _repeated(placed: Rows, schema: FeatureSchema, rows: int) -> Repeated:
    """Rows that are in more than one split, by features and target alone."""
    names = tuple(dict.fromkeys([*(column.name for column in schema.columns), schema.target]))
    below = compared_below(rows)
    return count_repeated(collect(placed, Hash(names, below)), below)


def _write_test_rows(rows: pa.Table, schema: FeatureSchema, folder: Path) -> None:
    path = folder / store_format.TEST_ROWS
    path.parent.mkdir(parents=True)
    names = dict.fromkeys([*(column.name for column in schema.columns), schema.target])
    pq.write_table(rows.select(list(names)), path)


def _states(tables: Iterator[pa.Table]) -> Iterator[dict[tuple[int, int], Statistics]]:
    for table in tables:
        split, first = table.column("split").to_numpy(), table.column("first").to_numpy()
        for place in set(zip(split.tolist(), first.tolist(), strict=True)):
            chosen = pa.array((split == place[0]) & (first == place[1]))
            yield {place: Statistics.from_table(table.filter(chosen))}


def _rows(written: pa.Table) -> dict[SplitName, int]:
    names = np.array(written.column("split").to_pylist())
    rows = written.column("rows").to_numpy()
    return {split: int(rows[names == split].sum()) for split in SPLITS}
