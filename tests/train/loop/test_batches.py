import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rayml.errors import DataError
from rayml.train.loop.batches import ArrayBatches, to_batch
from rayml.types import Examples, Features


def numbered(rows: int) -> Examples:
    """Rows that carry their number in every column."""
    count = np.arange(rows)
    numeric = count.astype(np.float32)[:, None]
    return Examples(Features(numeric, count[:, None].astype(np.int64)), count.astype(np.int64))


@given(st.integers(1, 200), st.integers(1, 64), st.integers(0, 9))
def test_an_epoch_has_every_row_once_and_keeps_rows_together(rows, batch_size, seed):
    batches = ArrayBatches(numbered(rows), batch_size)
    epoch = list(batches.epoch(seed, 0))
    seen = torch.cat([batch.target for batch in epoch])
    assert sorted(seen.tolist()) == list(range(rows))
    assert len(epoch) == batches.steps
    assert all(len(batch.target) == batch_size for batch in epoch[:-1])
    for batch in epoch:
        assert torch.equal(batch.numeric[:, 0].long(), batch.target)
        assert torch.equal(batch.categorical[:, 0], batch.target)


@given(st.integers(1, 200), st.integers(1, 64))
def test_in_order_is_the_stored_order(rows, batch_size):
    batches = ArrayBatches(numbered(rows), batch_size)
    seen = torch.cat([batch.target for batch in batches.in_order()])
    assert seen.tolist() == list(range(rows))


def test_the_seed_alone_decides_the_order():
    batches = ArrayBatches(numbered(100), 10)
    orders = []
    for seed in (1, 1, 2):
        epoch = batches.epoch(seed, 0)
        orders.append(torch.cat([batch.target for batch in epoch]).tolist())
    assert orders[0] == orders[1] != orders[2]


@given(st.integers(1, 60), st.integers(1, 64), st.integers(1, 9), st.integers(0, 9))
def test_stretches_go_on_from_pass_to_pass_in_full_batches(rows, batch_size, stretch, seed):
    def rows_of(number, batches):
        epoch = [batch.target for batch in batches.epoch(seed, number)]
        assert [len(each) for each in epoch] == [min(batch_size, rows)] * stretch
        return torch.cat(epoch)

    batches = ArrayBatches(numbered(rows), batch_size, stretch=stretch)
    assert (batches.steps, batches.rows) == (stretch, stretch * min(batch_size, rows))
    seen = torch.cat([rows_of(number, batches) for number in range(3)])
    passes = [
        ArrayBatches(numbered(rows), rows).order(seed, n) for n in range(len(seen) // rows + 1)
    ]
    assert torch.equal(seen, torch.cat(passes)[: len(seen)])
    # One that begins in the middle, as after a restart, has the same rows.
    again = ArrayBatches(numbered(rows), batch_size, stretch=stretch)
    assert torch.equal(rows_of(2, again), seen[2 * batches.rows :])


def test_tensors_share_the_arrays_memory_even_if_read_only():
    examples = numbered(5)
    examples.features.numeric.setflags(write=False)
    batch = to_batch(examples)
    assert batch.numeric.data_ptr() == examples.features.numeric.ctypes.data


def test_an_empty_split_is_refused():
    with pytest.raises(DataError, match="has no rows"):
        ArrayBatches(numbered(0), 10)
