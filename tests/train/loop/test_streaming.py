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
    epoch = list(batches.epoch(0, 0))
    assert sorted(rows_of(epoch)) == list(range(533)) == list(range(batches.rows))
    assert [len(batch.target) for batch in epoch] == [32] * 16 + [21]
    assert len(epoch) == batches.steps
    assert all(torch.equal(batch.numeric[:, 0].long(), batch.target) for batch in epoch)


def test_in_order_is_the_stored_order(tmp_path):
    batches = ParquetBatches(write(tmp_path, [400, 133]), 32)
    assert rows_of(batches.in_order()) == list(range(533))


def test_batches_mix_rows_that_lie_apart(tmp_path):
    batches = ParquetBatches(write(tmp_path, [1000]), 50, buffer_rows=200)
    first = next(batches.epoch(0, 0))
    assert len(torch.unique(first.target // 50)) > 2


def test_the_seed_alone_decides_the_order(tmp_path):
    batches = ParquetBatches(write(tmp_path, [300, 300]), 64, buffer_rows=128)
    orders = [rows_of(batches.epoch(seed, 0)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


@pytest.mark.parametrize(("rows", "size"), [(600, 64), (40, 64), (600, 7)])
def test_stretches_go_on_from_pass_to_pass_in_full_batches(tmp_path, rows, size):
    split = write(tmp_path, [rows])

    def opened() -> ParquetBatches:
        return ParquetBatches(split, size, buffer_rows=128, stretch=4)

    batches, full = opened(), min(size, rows)
    assert (batches.steps, batches.rows) == (4, 4 * full)
    stretches = [list(batches.epoch(3, number)) for number in range(5)]
    assert {len(batch.target) for each in stretches for batch in each} == {full}
    assert all(torch.equal(batch.numeric[:, 0].long(), batch.target) for batch in stretches[0])
    seen = [row for each in stretches for row in rows_of(each)]
    passes = ParquetBatches(split, size, buffer_rows=128)
    count = len(seen) // rows + 1
    assert seen == [r for n in range(count) for r in rows_of(passes.epoch(3, n))][: len(seen)]
    # One that begins in the middle, as after a restart, or leaves a stretch before its end.
    again = opened()
    next(again.epoch(3, 2))
    assert rows_of(again.epoch(3, 2)) == rows_of(stretches[2])
    assert rows_of(again.epoch(3, 4)) == rows_of(stretches[4])


def test_a_stretch_reads_on_where_the_last_one_ended(tmp_path, monkeypatch):
    batches = ParquetBatches(write(tmp_path, [600]), 10, buffer_rows=100, stretch=5)
    read = []
    whole = batches._read
    monkeypatch.setattr(batches, "_read", lambda index: read.append(index) or whole(index))
    for number in range(12):  # one pass
        list(batches.epoch(0, number))
    assert len(read) == 12  # row groups of 50


def test_an_empty_split_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no rows"):
        ParquetBatches(write(tmp_path, [0]), 10)
