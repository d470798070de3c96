"""The part of a signature that may be shown: no list of people, and no single row's number.

`/metadata`, `/openapi.json`, the page, the model card and the example requests show this part. The
bundle itself holds all categories that its model knows, so guard it as the data.
"""

from __future__ import annotations

import math
from dataclasses import replace

from rayml.data.columns.privacy import named_like_identifier
from rayml.registry.bundle.signature import InputColumn, Signature


def published(signature: Signature) -> Signature:
    """The signature without the values that are withheld.

    A private column and one that looks like an identifier show nothing; a column of many values
    shows no category and no example, and its range in two digits. `InputColumn.withheld` says why.
    """
    columns = tuple(_published(each, signature.max_published) for each in signature.inputs)
    return replace(signature, inputs=columns)


def _published(column: InputColumn, most: int) -> InputColumn:
    withheld = column.withheld
    if withheld is None and named_like_identifier(column.name, column.kind, len(column.categories)):
        withheld = "identifier"  # of a bundle that an older rayml wrote
    if withheld is None and len(column.categories) > most:
        withheld = "many"
    if withheld is None:
        return column
    if withheld == "many" and column.kind == "numeric":
        return _coarse(replace(column, withheld=withheld))
    example = column.example
    kept = example[:10] if withheld == "many" and isinstance(example, str) else None
    return replace(
        column,
        withheld=withheld,
        categories=(),
        minimum=None,
        maximum=None,
        example=kept if column.kind == "timestamp" else None,
    )


def _coarse(column: InputColumn) -> InputColumn:
    """A range that holds the true one, and an example, both to about two digits of its width."""
    low, high, example = column.minimum, column.maximum, column.example
    if low is None or high is None or not 0 < high - low < math.inf:
        return column
    digits = 1 - math.floor(math.log10(high - low))
    step = 10.0**-digits
    return replace(
        column,
        minimum=round(math.floor(low / step) * step, digits),
        maximum=round(math.ceil(high / step) * step, digits),
        example=round(example, digits) if isinstance(example, float) else example,
    )
