"""Files of estimators: plain ones pass, all that may hold code is refused."""

from __future__ import annotations

import io
import pickle

import numpy as np
import pytest
import torch

from rayml.errors import TrainError
from rayml.models.estimators.files import MOST_FILES, as_files, as_tensors, require_plain


def saved(write) -> bytes:
    out = io.BytesIO()
    write(out)
    return out.getvalue()


ODD = {
    "pickle": pickle.dumps({"a": 1}),
    "old pickle": pickle.dumps({"a": 1}, protocol=2),
    "torch": saved(lambda out: torch.save({"w": torch.ones(2)}, out)),
    "npy": saved(lambda out: np.save(out, np.array([object()]), allow_pickle=True)),
    "npz": saved(lambda out: np.savez(out, a=np.ones(2))),
}


@pytest.mark.parametrize("name", ODD)
def test_what_may_hold_code_is_refused(name):
    with pytest.raises(TrainError, match=r"Mine\.save gives state\.bin, which is"):
        require_plain("Mine", {"state.bin": ODD[name]})


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "gives 0 files"),
        ({f"{i}.json": b"1" for i in range(MOST_FILES + 1)}, "gives 17 files; an estimator has 1"),
        ({"../up.json": b"1"}, r"a file the name '\.\./up\.json'"),
        ({"a/b.json": b"1"}, "a file the name 'a/b.json'"),
        ({".hidden": b"1"}, "a file the name"),
        ({"a.json": "text"}, "gives a.json as a str"),
    ],
)
def test_odd_files_are_refused(files, words):
    with pytest.raises(TrainError, match=words):
        require_plain("Mine", files)


def test_plain_files_pass_and_come_back_from_tensors():
    files = {"a.json": b"[1, 2]", "empty.txt": b"", "b.bin": bytes(range(256))}
    require_plain("Mine", files)
    tensors = as_tensors(files)
    assert {each.dtype for each in tensors.values()} == {torch.uint8}
    assert as_files(tensors) == files
