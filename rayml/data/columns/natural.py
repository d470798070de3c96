"""Raw tables in the natural types of a schema's columns."""

from __future__ import annotations

import pyarrow as pa

from rayml.errors import SchemaError


def natural(table: pa.Table, types: pa.Schema) -> pa.Table:
    """The columns of a schema, in its order and in natural types.

    Raises:
        SchemaError: a column is absent or of another type.
    """
    if table.schema.equals(types):
        return table
    columns = dict(zip(table.column_names, table.columns, strict=True))
    for field in types:
        values = columns.get(field.name)
        if values is None:
            raise SchemaError(
                f"the table to transform lacks the column {field.name!r}",
                found=table.column_names,
                remedy="Add it; nulls are missing values",
            )
        if values.type != field.type:
            columns[field.name] = _cast(field.name, values, field.type)
    return pa.table([columns[name] for name in types.names], schema=types)


def _cast(name: str, values: pa.ChunkedArray, expected: pa.DataType) -> pa.ChunkedArray:
    integer = pa.types.is_integer(values.type) and expected == pa.float64()
    if integer or pa.types.is_null(values.type):
        return values.cast(expected, safe=False)
    raise SchemaError(
        f"column {name!r} of the table to transform is of type {values.type}",
        remedy=f"Cast it to {expected}",
    )
