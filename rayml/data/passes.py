"""Runs a function over the blocks of a Ray dataset, or collects what it makes of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa

from rayml.errors import RaymlError

if TYPE_CHECKING:
    from ray.data import Dataset

# Beyond so many blocks of less than so many bytes a pass would spend its time starting tasks.
_BLOCKS = 16
_SMALL_BLOCK = 2**20


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise rayml's own errors of worker tasks as they were raised there.

    Ray would wrap them, and log the tracebacks of what a user can mend.
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
        raise
    finally:
        logger.setLevel(level)


def read_once(dataset: Dataset) -> Dataset:
    """Read a dataset into the object store, from where Ray spills what does not fit in memory."""
    dataset.context.raise_original_map_exception = True
    held = dataset.materialize()
    blocks = held.num_blocks()
    if blocks > _BLOCKS and held.size_bytes() < blocks * _SMALL_BLOCK:
        held = held.repartition(_BLOCKS).materialize()
    return held


def each(dataset: Dataset, make: Callable[[pa.Table], pa.Table]) -> Dataset:
    """Apply a function to each block that has rows."""
    return dataset.map_batches(
        _NonEmpty(make), batch_format="pyarrow", batch_size=None, zero_copy_batch=True
    )


def collect(dataset: Dataset, make: Callable[[pa.Table], pa.Table]) -> Iterator[pa.Table]:
    """Give what a function makes of each block, one after another in no certain order."""
    results = each(dataset, make)
    yield from results.iter_batches(batch_size=None, batch_format="pyarrow")


class _NonEmpty:
    """Passes empty blocks by, which may not even have columns."""

    def __init__(self, make: Callable[[pa.Table], pa.Table]) -> None:
        self._make = make
        self.__name__ = type(make).__name__

    def __call__(self, block: pa.Table) -> pa.Table:
        return self._make(block) if block.num_rows else pa.table({})
