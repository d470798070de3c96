import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from rayml.errors import DataError
from rayml.train.loop.streaming import ParquetBatches, ParquetSplit
from rayml.types import Examples, Features


def decode(table: pa.Table) -> Examples:
    row = table["row"].to_numpy()
    return Examples(Features(row.astype(np.float32)[:, None], row[:, None]), row)


def write(folder, sizes, group=50) -> ParquetSplit:
    files, start = [], 0
    for number, size in enumerate(sizes):
        file = folder / f"part-{number}.parquet"
        table = pa.table({"row": pa.array(range(start, start + size), pa.int64())})
        pq.write_table(table, file, row_group_size=group)
        files.append(file)
        start += size
    return ParquetSplit(tuple(files), decode)


def rows_of(batches) -> list[int]:
    return torch.cat([batch.target for batch in batches]).tolist()


@pytest.mark.parametrize("buffer_rows", [1, 100, 10_000])
def test_an_epoch_has_every_row_once_in_full_batches(tmp_path, buffer_rows):
    batches = ParquetBatches(write(tmp_path, [400, 0, 133]), 32, buffer_rows=buffer_rows)
    epoch = list(batches.epoch(torch.Generator().manual_seed(0)))
    assert sorted(rows_of(epoch)) == list(range(533)) == list(range(batches.rows))
    assert [len(batch.target) for batch in epoch] == [32] * 16 + [21]
    assert len(epoch) == batches.steps
    assert all(torch.equal(batch.numeric[:, 0].long(), batch.target) for batch in epoch)


def test_in_order_is_the_stored_order(tmp_path):
    batches = ParquetBatches(write(tmp_path, [400, 133]), 32)
    assert rows_of(batches.in_order()) == list(range(533))


def test_batches_mix_rows_that_lie_apart(tmp_path):
    batches = ParquetBatches(write(tmp_path, [1000]), 50, buffer_rows=200)
    first = next(batches.epoch(torch.Generator().manual_seed(0)))
    assert len(torch.unique(first.target // 50)) > 2


def test_the_generator_alone_decides_the_order(tmp_path):
    batches = ParquetBatches(write(tmp_path, [300, 300]), 64, buffer_rows=128)
    orders = [rows_of(batches.epoch(torch.Generator().manual_seed(seed))) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_an_empty_split_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no rows"):
        ParquetBatches(write(tmp_path, [0]), 10)
