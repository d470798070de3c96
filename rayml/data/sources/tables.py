"""Makes a Ray dataset of Arrow tables that workers read one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    import ray.data
    from ray.data import ReadTask

TableReader = Callable[[], Iterable[pa.Table]]


def dataset_of(name: str, readers: Sequence[TableReader], schema: pa.Schema) -> ray.data.Dataset:
    """Make a dataset whose rows are read in as many tasks as there are readers.

    Args:
        name: of the read tasks in Ray's progress and dashboard.
        readers: each called in a worker; gives tables that fit in memory one by one.
        schema: of all those tables.
    """
    import ray.data
    from ray.data import Datasource, ReadTask
    from ray.data.block import BlockMetadata

    class Tables(Datasource):  # type: ignore[misc]  # Ray is not typed
        def get_name(self) -> str:
            return name

        def estimate_inmemory_data_size(self) -> int | None:
            return None

        def get_read_tasks(self, *_: object, **__: object) -> list[ReadTask]:
            unknown = BlockMetadata(
                num_rows=None, size_bytes=None, input_files=None, exec_stats=None
            )
            return [ReadTask(_with_schema(reader, schema), unknown, schema) for reader in readers]

    # As many blocks as readers: for more, Ray would split small tables further.
    return ray.data.read_datasource(Tables(), override_num_blocks=max(1, len(readers)))


def _with_schema(reader: TableReader, schema: pa.Schema) -> TableReader:
    def read() -> Iterator[pa.Table]:
        empty = True
        for table in reader():
            empty = False
            yield table
        if empty:  # so that a dataset without rows has its columns
            yield schema.empty_table()

    return read
