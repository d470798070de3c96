"""Prepares a few rows of a dataset in this process, to find errors early."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from rayml.data.advice.advice import Advice, of_rows, of_schema
from rayml.data.columns.schema import FeatureSchema
from rayml.data.fit.observe import observe
from rayml.data.fit.preprocess import Preprocessor
from rayml.data.prepare.passes import own_errors
from rayml.data.prepare.sampling import sample_rows
from rayml.data.prepare.texts import Texts, of_texts, store_of_vectors, with_text_kinds
from rayml.data.rows.check_settings import check_settings
from rayml.data.rows.coerce import Coercer
from rayml.data.rows.infer_schema import infer_schema
from rayml.data.sources.sources import gives_splits, missing_tokens
from rayml.data.split.dealing import Dealer, check_classes
from rayml.data.split.split import read_columns
from rayml.data.split.split_method import choose_method
from rayml.data.statistics.target import check_task
from rayml.errors import DataError
from rayml.settings.data import (
    NO_TEXTS,
    PreprocessSettings,
    SchemaSettings,
    SplitSettings,
    TextSettings,
)
from rayml.types import ClassLabel, Examples, TaskName

if TYPE_CHECKING:
    from rayml.data.sources.sources import Source


@dataclass(frozen=True)
class Preview:
    """Some rows of a dataset, prepared.

    Attributes:
        preprocessor: fitted on these rows alone.
        examples: of these rows.
        advice: about these rows.
    """

    preprocessor: Preprocessor
    examples: Examples
    advice: tuple[Advice, ...] = ()


def preview(
    source: Source,
    *,
    target: str,
    task: TaskName,
    schema: SchemaSettings,
    split: SplitSettings,
    preprocess: PreprocessSettings,
    text: TextSettings = NO_TEXTS,
    store: Path | None = None,
    positive: ClassLabel | None = None,
    rows: int = 1000,
) -> Preview:
    """Prepare the first rows of a source; `prepare` reports the bad ones among them.

    If these cannot be prepared, rows from the whole source are tried before the error is raised:
    the first rows of sorted data may be of one class.

    Args:
        source: of the rows.
        target: the column that is predicted.
        task: what is predicted.
        schema: see `SchemaSettings`.
        split: names a column if its method reads one.
        preprocess: how features are prepared.
        text: how columns of texts are.
        store: of prepared datasets, which keeps the vectors of texts; None keeps none.
        positive: label of the positive class of a binary task.
        rows: number of rows at most.

    Raises:
        ConfigError: the split's method would mix the splits that the source gives, or an encoder
            of texts cannot be used.
        SourceError: the source cannot be read.
        SchemaError: the settings name absent columns, or kinds that do not fit.
        DataError: there are no rows, the target does not suit the task, or a table that is seen
            as a whole cannot be dealt into the folds.
    """
    split = choose_method(split, task, given=gives_splits(source))
    reserved, carry = read_columns(split)
    schema = with_text_kinds(schema, text)

    def prepared(raw: pa.Table) -> Preview:
        found = _schema(raw, source, target, schema, split)
        made = _fitted(raw, found, task, preprocess, positive, texts)
        if split.folds and raw.num_rows < rows:
            _deal(raw, found, Dealer(split, target, task), made)
        return made

    with own_errors(), store_of_vectors(store) as folder:
        texts = Texts.of(schema, text, folder)
        dataset = source.read()
        head = sample_rows(dataset.limit(rows), rows)
        check_settings(head.column_names, target, schema, reserved, carry)
        try:
            return prepared(head)
        except DataError:
            # The first rows of sorted data are unlike the others.
            return prepared(sample_rows(dataset, rows))


def _schema(
    raw: pa.Table, source: Source, target: str, settings: SchemaSettings, split: SplitSettings
) -> FeatureSchema:
    reserved, carry = read_columns(split)
    return infer_schema(
        raw,
        target=target,
        settings=settings,
        reserved=reserved,
        carry=carry,
        missing=missing_tokens(source),
        index=getattr(source, "index_columns", ()),
    )


def _deal(raw: pa.Table, schema: FeatureSchema, dealer: Dealer, made: Preview) -> None:
    """Deal all rows of a small table, of which preparing has those that do not test."""
    typed, _ = Coercer(schema, required=(schema.target,))(raw)
    folds = dealer.deal(dealer.keys(typed))
    if made.preprocessor.target.classes:
        check_classes(folds, made.examples.target, made.preprocessor.target)


def _fitted(
    raw: pa.Table,
    schema: FeatureSchema,
    task: TaskName,
    preprocess: PreprocessSettings,
    positive: ClassLabel | None,
    texts: Texts,
) -> Preview:
    check_task(schema.target, schema.target_kind, task)
    typed, _ = Coercer(schema, required=(schema.target,))(raw)
    readers = texts.fitted(typed, texts.readers(schema))
    seen = observe(typed, schema, task, readers)
    fitted = Preprocessor.fit(schema, seen, preprocess, task, positive, readers)
    features = fitted.transform_batch(typed)
    examples = Examples(features, fitted.encode_target(typed.column(schema.target)))
    cut = of_texts(readers, seen.numeric)
    return Preview(fitted, examples, (*of_schema(schema), *cut, *of_rows(schema, typed, task)))
