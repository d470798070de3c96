"""Settings of how data are read, split and preprocessed, checked when they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import pydantic
from pydantic import BeforeValidator, Field

from rayml.types import Count, Fraction, Kind, NonNegative, Size, settings


@settings
class SchemaSettings:
    """What the user says of the columns; the rest is inferred.

    Attributes:
        kinds: kind of a column where the inferred one is wrong.
        ignore: columns that are no features.
        groups: columns whose values tell groups apart when fairness is measured.
        missing: texts that say that a value is missing, besides those of the source, such as
            `nulls` of a CSV file; the endpoint reads them in the same way.
        private: columns whose values are shown nowhere: not by the endpoint, in the model card, in
            tables and messages of preparing, nor in the profile of a bundle.
        max_published: categories of a column are published if it has at most so many different
            values; of numbers and times of more a coarse range. Those of columns that look like
            identifiers never are.
    """

    kinds: Mapping[str, Kind] = Field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    private: tuple[str, ...] = ()
    max_published: Size = 100


@settings
class SplitSettings:
    """How rows are given to train, validation and test.

    Attributes:
        method: `given` reads the split from `column`; `random` and `stratified` (by the
            target) draw rows by a hash of their content; `group` keeps equal values of
            `column` together; `time` sorts by `column`, the latest rows for test. `auto` is
            `given` where the source names files for each split, else `stratified` for classes
            and `random` for a regression.
        column: the column that `given`, `group` and `time` read.
        validation: fraction of all rows (of the given training rows where `given` names no
            validation rows).
        test: fraction of all rows; unused by `given`.
        seed: of the hash.
        folds: parts of the training and validation rows, a given validation split included, that
            are held out in turn from one model each; 0 or null makes none. Rows are dealt by the
            method: by class, by group, by stretches of time, else at random.
        gap: of folds by time: rows nearer to a fold than this do not train its model. In days
            where `column` holds times, else in its own unit.
    """

    method: Literal["auto", "given", "random", "stratified", "group", "time"] = "auto"
    column: str | None = None
    validation: Fraction = 0.2
    test: Fraction = 0.2
    seed: int = 0
    folds: Annotated[int, Field(ge=0, le=50), BeforeValidator(lambda given: given or 0)] = 0
    gap: NonNegative = 0.0

    @pydantic.model_validator(mode="after")
    def _sensible(self) -> SplitSettings:
        if self.folds == 1:
            raise ValueError(
                "folds=1 holds out all rows and leaves none to train on; set 2 or more, or 0 for"
                " none"
            )
        if self.gap and not (self.folds and self.method == "time"):
            raise ValueError(
                f"gap={self.gap:g} is read by folds by time alone; set method=time and folds, or"
                " leave gap out"
            )
        return self


@settings
class PreprocessSettings:
    """How features are prepared.

    Attributes:
        numeric: `standard` subtracts the mean and divides by the standard deviation;
            `quantile` maps to a normal distribution by ranks; `none` leaves values as they are.
        quantiles: number of reference points of the `quantile` map.
        max_categories: at most so many categories a column are kept, the frequent ones first.
        min_count: a category seen less often on the training split counts as unknown.
        missing_indicators: add a 0/1 column for each numeric column that misses values.
    """

    numeric: Literal["standard", "quantile", "none"] = "standard"
    quantiles: Annotated[int, Field(ge=2, le=10_000)] = 256
    max_categories: Count = 1000
    min_count: Count = 1
    missing_indicators: bool = True


@settings
class TextSettings:
    """How columns of texts become numbers.

    Attributes:
        encoder: folder of the encoder of all columns of the kind `text`; or by column its own,
            which makes that column one of texts.
        max_tokens: of a text; what follows is cut. An encoder that takes fewer cuts sooner.
        features: numbers of a text: those of its vector along the directions of greatest variance
            on the training split; null takes the whole vector.
    """

    encoder: str | Mapping[str, str] | None = None
    max_tokens: Annotated[int, Field(ge=1, le=8192)] = 256
    features: Annotated[int, Field(ge=1, le=512)] | None = 64


NO_TEXTS = TextSettings()
"""Settings without an encoder."""
