"""Which columns of a file of rows a model takes, ignores, and refuses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rayml.data.columns.nearest import did_you_mean, listed
from rayml.data.columns.schema import FeatureSchema
from rayml.errors import DataError
from rayml.registry.bundle.signature import Signature

_INDEX = re.compile(r"__index_level_\d+__|Unnamed: \d+(\.\d+)?")


@dataclass(frozen=True)
class RowColumns:
    """The columns that a file of rows may have.

    People predict the rows that they train on, so a file may have the columns of the training
    data that are not features beside those of the signature. Any other is refused.

    Attributes:
        taken: names of the columns of the signature.
        aside: the other columns of the training data, each with the reason why it is ignored.
    """

    taken: tuple[str, ...]
    aside: dict[str, str]

    @classmethod
    def of(cls, signature: Signature, schema: FeatureSchema) -> RowColumns:
        """The columns of a bundle."""
        taken = tuple(column.name for column in signature.inputs)
        aside = {
            **dict.fromkeys(schema.ignored, "ignored in training"),
            **{column.name: "not a feature" for column in schema.carried},
            schema.target: "the target",
        }
        return cls(taken, {name: why for name, why in aside.items() if name not in taken})

    def sort(self, names: Sequence[str], file: str) -> tuple[list[str], str]:
        """Divide the columns of a file.

        Args:
            names: of the file's columns.
            file: its name, for errors.

        Returns:
            The columns that are taken, and a text that lists the ignored ones, empty if none is.

        Raises:
            DataError: a name occurs twice or is unknown, or none is taken.
        """
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(
                f"{file} has several columns {twice!r}", remedy="Rename or remove all but one"
            )
        unknown = next((n for n in names if n not in self.taken and not self._why(n)), None)
        known = any(name in self.taken for name in names)
        if unknown is not None and known:
            raise DataError(
                f"{file} has a column {unknown!r}, which the model does not know",
                remedy=f"{did_you_mean(unknown, self.taken)}"
                f"Rename or remove it; the model's columns are: {listed(self.taken)}",
            )
        if not known:
            near = next(filter(None, (did_you_mean(name, self.taken) for name in names)), "")
            raise DataError(
                f"{file} has no column that the model knows",
                found=listed(names, 200),
                remedy=f"{near}The model's columns are: {listed(self.taken)}",
            )
        return [name for name in names if name in self.taken], self.ignored(names)

    def ignored(self, names: Sequence[str]) -> str:
        """The columns of a file that are ignored, each with its reason; empty if none is."""
        whys = {name: self._why(name) for name in names if name not in self.taken}
        return ", ".join(f"{name!r} ({why})" for name, why in whys.items() if why)

    def _why(self, name: str) -> str:
        """Why a column that is not taken is ignored; empty if it is refused."""
        return self.aside.get(name) or ("an index of pandas" if _INDEX.fullmatch(name) else "")
