"""Applies a function to the blocks of a Ray dataset, or collects its results."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, overload

import pyarrow as pa

from rayml.errors import RaymlError, SourceError
from rayml.storage.disk import is_refusal, refused

if TYPE_CHECKING:
    from ray.data import Dataset

# Rows of up to so many bytes are held in the driver.
HELD_BYTES = 2**24
# With more blocks of fewer bytes, a pass would spend its time starting tasks.
_BLOCKS = 16
_SMALL_BLOCK = 2**20


@contextmanager
def own_errors(store: Path = Path("/tmp")) -> Iterator[None]:  # noqa: S108 - Ray spills there
    """Raise rayml's own errors of worker tasks unchanged.

    Ray would wrap them, and log tracebacks of errors that a user can correct.

    Args:
        store: folder that the tasks write to.

    Raises:
        StorageError: the disk is full or read-only.
        SourceError: a file is not on the machine of the task that reads it.
    """
    import ray.data

    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, RaymlError):
            raise error.cause from None
        if isinstance(error.cause, OSError) and is_refusal(error.cause):
            raise refused(error.cause, store) from None
        if isinstance(error.cause, FileNotFoundError):
            raise _not_everywhere(error.cause) from None
        raise
    except OSError as error:
        if is_refusal(error):
            raise refused(error, store) from error
        raise
    finally:
        logger.setLevel(level)


def _not_everywhere(error: FileNotFoundError) -> SourceError:
    missing = error.filename or error
    return SourceError(
        f"a machine of the cluster does not have {missing}",
        remedy="Put the data where every machine reads them under one path, such as a shared"
        " folder, or start Ray on this machine alone with cluster.address=null",
    )


class HeldRows:
    """Rows of a small dataset, held by this process as Arrow tables.

    For few rows the overhead of Ray Data, tenths of a second and the start of its workers, is more
    than the pass itself costs.
    """

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self.tables = list(tables)


Rows: TypeAlias = "Dataset | HeldRows"


def read_once(dataset: Dataset) -> Rows:
    """Read a dataset once.

    Returns:
        Few rows are held here. More are in the object store; Ray spills to disk those that do not
        fit in memory.
    """
    dataset.context.raise_original_map_exception = True
    held = dataset.materialize()
    size, blocks = held.size_bytes(), held.num_blocks()
    if size <= HELD_BYTES:
        import ray

        # `iter_batches` would execute the dataset once more.
        return HeldRows(ray.get(held.to_arrow_refs()))
    if blocks > _BLOCKS and size < blocks * _SMALL_BLOCK:
        held = held.repartition(_BLOCKS).materialize()
    return held


@overload
def each(rows: HeldRows, make: Callable[[pa.Table], pa.Table]) -> HeldRows: ...


@overload
def each(rows: Dataset, make: Callable[[pa.Table], pa.Table]) -> Dataset: ...


def each(rows: Rows, make: Callable[[pa.Table], pa.Table]) -> Rows:
    """Apply a function to each block that has rows."""
    if isinstance(rows, HeldRows):
        return HeldRows(make(table) for table in rows.tables if table.num_rows)
    return rows.map_batches(
        _NonEmpty(make), batch_format="pyarrow", batch_size=None, zero_copy_batch=True
    )


def collect(rows: Rows, make: Callable[[pa.Table], pa.Table]) -> Iterator[pa.Table]:
    """Give the results of a function for each block, in any order."""
    results = each(rows, make)
    if isinstance(results, HeldRows):
        yield from results.tables
    else:
        yield from results.iter_batches(batch_size=None, batch_format="pyarrow")


def count_rows(rows: Rows) -> int:
    """Number of rows, malformed ones included."""
    if isinstance(rows, HeldRows):
        return sum(table.num_rows for table in rows.tables)
    return int(rows.count())


def each_by_number(
    rows: Rows, makes: Callable[[int], Callable[[pa.Table], pa.Table]], numbers: Sequence[int]
) -> Rows:
    """Apply to each block that has rows a function that depends on the block's number.

    Args:
        rows: held here, or executed already.
        makes: gives the function for a number.
        numbers: of the blocks that have rows, from `collect_by_number`.
    """
    if isinstance(rows, HeldRows):
        return HeldRows(makes(at)(rows.tables[at]) for at in numbers)
    import ray

    # A function of Ray Data does not know its block's number, so these are tasks of our own.
    refs, task = rows.to_arrow_refs(), ray.remote(_apply)
    return ray.data.from_arrow_refs([task.remote(makes(at), refs[at]) for at in numbers])


def collect_by_number(rows: Rows, make: Callable[[pa.Table], pa.Table]) -> dict[int, pa.Table]:
    """The results of a function for each block that has rows, by the block's number."""
    if isinstance(rows, HeldRows):
        return {at: make(table) for at, table in enumerate(rows.tables) if table.num_rows}
    import ray

    task = ray.remote(_apply)
    made = ray.get([task.remote(_NonEmpty(make), ref) for ref in rows.to_arrow_refs()])
    return {at: table for at, table in enumerate(made) if table.num_columns}


def _apply(make: Callable[[pa.Table], pa.Table], block: pa.Table) -> pa.Table:
    return make(block)


class _NonEmpty:
    """Skips empty blocks, which may lack columns."""

    def __init__(self, make: Callable[[pa.Table], pa.Table]) -> None:
        self._make = make
        self.__name__ = type(make).__name__

    def __call__(self, block: pa.Table) -> pa.Table:
        return self._make(block) if block.num_rows else pa.table({})
