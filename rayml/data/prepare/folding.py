"""Writes the folds of prepared training rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayml.data.prepare.blocks import FoldKeys
from rayml.data.prepare.passes import Rows, collect
from rayml.data.prepare.prepared import FOLDS
from rayml.data.split.dealing import Dealer, check_classes
from rayml.types import TargetInfo


def write_folds(placed: Rows, dealer: Dealer, target: TargetInfo, folder: Path) -> None:
    """Deal the training rows into folds, in the order of their files.

    Args:
        placed: sorted rows.
        dealer: of the rows.
        target: what is predicted.
        folder: of the prepared dataset, in which the examples are.

    Raises:
        DataError: see `Dealer.deal` and `check_classes`.
    """
    # Blocks are files, whose sorted names begin with the place of their first row.
    parts = [part for part in collect(placed, FoldKeys(dealer)) if part.num_rows]
    parts.sort(key=lambda part: part.column("first")[0].as_py())
    folds = dealer.deal(pa.concat_tables(parts).drop_columns(["first"]))
    if target.classes:
        files = sorted((folder / "examples" / "train").glob("*.parquet"))
        read = [pq.read_table(file, columns=[target.name]).column(0) for file in files]
        codes = np.concatenate([each.to_numpy() for each in read])
        check_classes(folds, codes, target)
    pq.write_table(folds.to_table(), folder / FOLDS)
