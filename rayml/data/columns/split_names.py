"""The names that data gives train, validation and test."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

SPLIT = "split"
"""The column in which sources name the split of a row."""

NAMES = {
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("validation", "valid", "val", "dev"), 1),
    **dict.fromkeys(("test", "testing"), 2),
}
"""Index in `rayml.types.SPLITS` by name, in any case."""

SplitIndices = npt.NDArray[np.int8]
NO_SPLIT = -1


def named_splits(column: pa.ChunkedArray | pa.Array) -> SplitIndices:
    """Index of the split that each value names; -1 for a value that names none."""
    encoded = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    text = pc.utf8_lower(pc.utf8_trim_whitespace(encoded))
    place: npt.NDArray[np.int32] = (
        pc.index_in(text, pa.array(list(NAMES))).fill_null(len(NAMES)).to_numpy()
    )
    return np.array([*NAMES.values(), NO_SPLIT], dtype=np.int8)[place]
