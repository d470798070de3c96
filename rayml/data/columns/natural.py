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
                "a table to transform has all columns of the schema",
                found=table.column_names,
                remedy=f"Add {field.name!r}; nulls are missing values",
            )
        if values.type != field.type:
            columns[field.name] = _cast(field.name, values, field.type)
    return pa.table([columns[name] for name in types.names], schema=types)


def _cast(name: str, values: pa.ChunkedArray, expected: pa.DataType) -> pa.ChunkedArray:
    integer = pa.types.is_integer(values.type) and expected == pa.float64()
    if integer or pa.types.is_null(values.type):
        return values.cast(expected, safe=False)
    raise SchemaError(
        f"column {name!r} of a table to transform has the type {expected}",
        found=str(values.type),
        remedy="Cast it",
    )
