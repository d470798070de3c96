"""Hashes of values and rows that are the same on every machine, in every version.

They decide the split of a row and the order of prepared rows, so they are part of the store's
format: a library's own hash function may change with its next version.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from rayml.data.columns.kinds import plain

Hashes = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MISSING = np.uint64(0x6A09E667F3BCC909)


def mix(values: Hashes) -> Hashes:
    """Scramble 64 bits so that each input bit moves each output bit (SplitMix64).

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
    """
    mixed = values + _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def hash_text(text: str) -> int:
    """64-bit hash of a string."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hash_values(column: pa.ChunkedArray) -> Hashes:
    """Hash each value of a column; missing values share one hash.

    Numbers hash by value, so 1 and 1.0 agree. A nested column has no hash of its own: all its
    values count as missing.
    """
    values = plain(column)
    kind = values.type
    if pa.types.is_string(kind):
        return _hash_strings(values)
    if pa.types.is_timestamp(kind):
        bits = values.cast(pa.int64()).fill_null(0).to_numpy().view(np.uint64)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        floats = pc.cast(values, pa.float64(), safe=False).fill_null(0.0).to_numpy()
        bits = (floats + 0.0).view(np.uint64)  # adding zero makes -0.0 the same as 0.0
    else:
        return np.full(len(values), _MISSING, np.uint64)
    return np.where(_valid(values), mix(bits), _MISSING)


def hash_rows(table: pa.Table, seed: int = 0) -> Hashes:
    """Hash each row of a table over all its columns, in their order."""
    rows = mix(np.full(table.num_rows, seed % 2**64, np.uint64))
    for column in table.columns:
        rows = mix(rows ^ hash_values(column))
    return rows


def _hash_strings(values: pa.Array) -> Hashes:
    encoded = values.dictionary_encode()
    distinct = [hash_text(text) for text in encoded.dictionary.to_pylist()]
    hashes = np.array([*distinct, _MISSING], dtype=np.uint64)
    indices: npt.NDArray[np.int32] = encoded.indices.fill_null(len(distinct)).to_numpy()
    return hashes[indices]


def _valid(values: pa.Array) -> npt.NDArray[np.bool_]:
    valid: npt.NDArray[np.bool_] = values.is_valid().to_numpy(zero_copy_only=False)
    return valid
