import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rayml.errors import CheckpointError
from rayml.train.loop.checkpoint import (
    FILE,
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    under,
    within,
)

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
TENSORS = st.dictionaries(
    st.text("abc.", min_size=1, max_size=5),
    st.builds(
        lambda kind, sizes: torch.randint(0, 200, sizes).to(kind),
        st.sampled_from([torch.float32, torch.float64, torch.int64, torch.uint8]),
        st.lists(st.integers(0, 3), max_size=3),
    ),
    max_size=4,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TENSORS, st.dictionaries(st.text("abc", max_size=3), JSON, max_size=3))
def test_a_checkpoint_is_read_as_it_was_written(tmp_path, tensors, state):
    save_checkpoint(tmp_path, Checkpoint(tensors, state))
    loaded = load_checkpoint(tmp_path)
    assert loaded.state == state
    assert set(loaded.tensors) == set(tensors)
    for name, each in tensors.items():
        assert loaded.tensors[name].dtype == each.dtype
        assert torch.equal(loaded.tensors[name], each)


@pytest.fixture
def saved(tmp_path):
    flat = torch.arange(20, dtype=torch.float32)
    save_checkpoint(tmp_path, Checkpoint({"a": flat[:12].view(3, 4), "b": flat[12:]}, {"epoch": 3}))
    return tmp_path


def test_views_of_one_tensor_are_written_apart(saved):
    assert load_checkpoint(saved).tensors["b"].tolist() == list(range(12, 20))


def test_every_truncation_is_refused(saved):
    whole = (saved / FILE).read_bytes()
    for length in range(len(whole)):
        (saved / FILE).write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="is damaged"):
            load_checkpoint(saved)


@pytest.mark.parametrize("old", [b"\x00\x00\x80?", b'\\"epoch\\": 3'])
def test_altered_values_are_refused(saved, old):
    whole = (saved / FILE).read_bytes()
    assert old in whole
    (saved / FILE).write_bytes(whole.replace(old, old[:-1] + b"4"))
    with pytest.raises(CheckpointError, match="checksum"):
        load_checkpoint(saved)


def test_another_format_version_is_refused(saved):
    whole = (saved / FILE).read_bytes()
    (saved / FILE).write_bytes(whole.replace(b'"version":"1"', b'"version":"9"'))
    with pytest.raises(CheckpointError, match="format version 9, and this rayml reads 1"):
        load_checkpoint(saved)


def test_an_interrupted_write_leaves_the_older_checkpoint(saved):
    (saved / f"{FILE}.partial").write_bytes(b"torn")
    assert load_checkpoint(saved).state == {"epoch": 3}
    save_checkpoint(saved, Checkpoint({}, {"epoch": 4}))
    assert load_checkpoint(saved).state == {"epoch": 4}
    assert [each.name for each in saved.iterdir()] == [FILE]


def test_an_absent_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_checkpoint(tmp_path)


def test_sets_of_tensors_are_told_apart_by_prefix():
    joined = under("a.", {"x": torch.zeros(1)}) | under("b.", {"x": torch.ones(1)})
    assert within("b.", joined) == {"x": torch.ones(1)}
