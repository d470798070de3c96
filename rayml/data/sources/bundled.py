"""Data sets that are bundled with scikit-learn, as sources of rows."""

from __future__ import annotations

import hashlib
import importlib.metadata
from typing import TYPE_CHECKING

import pyarrow as pa

from rayml.data.columns.origin import LINE
from rayml.errors import InvalidConfigError

if TYPE_CHECKING:
    import ray.data

BUNDLED = ("breast_cancer", "diabetes", "digits", "iris", "wine")


class SklearnSource:
    """A data set that is bundled with scikit-learn.

    Columns are the features as scikit-learn names them, and `target`: the name of the class,
    the digit, or the value to predict.

    Args:
        name: breast_cancer, diabetes, digits, iris or wine.

    Raises:
        InvalidConfigError: no such data set is bundled.
    """

    def __init__(self, name: str) -> None:
        if name not in BUNDLED:
            raise InvalidConfigError(
                [f"data.source.name: there is no {name!r}; use one of {', '.join(BUNDLED)}"]
            )
        self._name = name

    def fingerprint(self) -> str:
        """Hash of the name and of scikit-learn's version."""
        text = f"sklearn {importlib.metadata.version('scikit-learn')} {self._name}"
        return hashlib.sha256(text.encode()).hexdigest()

    def read(self) -> ray.data.Dataset:
        """All rows; features are float64, and `LINE` is the number of the row."""
        import ray.data

        return ray.data.from_arrow(_load(self._name))


def _load(name: str) -> pa.Table:
    import sklearn.datasets

    data = getattr(sklearn.datasets, f"load_{name}")()
    target = data.target
    names = getattr(data, "target_names", None)
    if names is not None:
        target = names[target]
    columns = dict(zip(map(str, data.feature_names), data.data.T, strict=True))
    columns["target"] = target
    table = pa.table({key: pa.array(values) for key, values in columns.items()})
    return table.append_column(LINE, pa.array(range(1, len(table) + 1), pa.int64()))
