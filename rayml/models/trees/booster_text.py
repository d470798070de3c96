"""The text of a LightGBM model, checked before LightGBM's parser sees it.

That parser, in C++, trusts what it reads: a child that is no node of its tree, or a size that is
not that of its text, leads it out of its memory. A bundle's files may come from others, so this
module reads the whole text first and admits what LightGBM 4 itself writes, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

END = "end of trees\n"

_HEADER = (
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "feature_names",
    "feature_infos",
    "tree_sizes",
)
_TREE = (
    *("num_leaves", "num_cat", "split_feature", "split_gain", "threshold", "decision_type"),
    *("left_child", "right_child", "leaf_value", "leaf_weight", "leaf_count"),
    *("internal_value", "internal_weight", "internal_count", "cat_boundaries", "cat_threshold"),
    *("is_linear", "shrinkage"),
)
_OF_CATEGORIES = frozenset({"cat_boundaries", "cat_threshold"})
_WHOLE = re.compile(r"(-?\d{1,10}( -?\d{1,10})*)?")
_REAL = re.compile(r"([0-9.e+-]+( [0-9.e+-]+)*)?")
_INFOS = re.compile(r"(none|\[[0-9.e+-]+:[0-9.e+-]+\]|-?\d+(:-?\d+)*)")
# A node's kind: bit 0 for categories, bit 1 for the default side, bits 2 and 3 for missing values.
_KINDS = 16


@dataclass(frozen=True, slots=True)
class Expected:
    """What an estimator knows of its trees without their text.

    Attributes:
        columns: of the features.
        outputs: of a row; each iteration has as many trees.
        most_leaves: of a tree.
        objectives: as the text may name them, such as `binary sigmoid:1`; None where it names
            none.
    """

    columns: int
    outputs: int
    most_leaves: int
    objectives: tuple[str | None, ...]


def without_settings(text: str) -> str:
    """The part of a model's text that predictions depend on: the header and the trees.

    What follows are the settings of training, paths of files among them, which nothing reads.
    """
    return text[: text.index(END) + len(END)]


def count_values(text: str) -> int:
    """Number of splits and leaves of the trees in a text as LightGBM writes it."""
    leaves = [int(each) for each in re.findall(r"^num_leaves=(\d+)$", text, re.MULTILINE)]
    return 2 * sum(leaves) - len(leaves)


def require_booster(content: bytes, expected: Expected) -> str:
    """Check the text of a model.

    Args:
        content: the text, as `without_settings` gives it.
        expected: of the model.

    Raises:
        ValueError: it is torn, altered, or of another model.
    """
    text = content.decode("ascii", errors="strict")
    head, separator, rest = text.partition("\n\n")
    trees = rest.removesuffix(END)
    if not separator or trees == rest:
        raise ValueError(f"the text of the trees does not end with {END.strip()!r}")
    sizes = _require_header(head, expected)
    blocks = list(_blocks(trees, sizes))
    if len(blocks) % expected.outputs:
        raise ValueError(f"there are {len(blocks)} trees for {expected.outputs} outputs")
    for number, block in enumerate(blocks):
        try:
            _require_tree(_fields(block, number), expected)
        except ValueError as error:
            raise ValueError(f"tree {number}: {error}") from error
    return text


def _require_header(head: str, expected: Expected) -> npt.NDArray[np.int64]:
    """Check the header; returns the sizes of the trees' texts."""
    first, *lines = head.split("\n")
    found = dict(line.partition("=")[::2] for line in lines)
    wanted = [key for key in _HEADER if key != "objective" or key in found]
    if first != "tree" or list(found) != wanted or len(lines) != len(wanted):
        raise ValueError(f"the header of the trees has the fields {list(found)[:20]}")
    columns = expected.columns
    names = " ".join(f"Column_{index}" for index in range(columns))
    same: Mapping[str, str] = {
        "version": "v4",
        "num_class": str(expected.outputs),
        "num_tree_per_iteration": str(expected.outputs),
        "label_index": "0",
        "max_feature_idx": str(columns - 1),
        "feature_names": names,
    }
    for key, value in same.items():
        if found[key] != value:
            raise ValueError(f"{key} is {found[key][:100]!r}, and this model has {value[:100]!r}")
    if found.get("objective") not in expected.objectives:
        raise ValueError(f"the objective is {found.get('objective', '')[:100]!r}")
    infos = found["feature_infos"].split(" ")
    if len(infos) != columns or not all(map(_INFOS.fullmatch, infos)):
        raise ValueError(f"feature_infos does not describe {columns} columns")
    return _whole("tree_sizes", found["tree_sizes"])


def _blocks(trees: str, sizes: npt.NDArray[np.int64]) -> Iterator[str]:
    """The text of each tree; LightGBM jumps from one to the next by their sizes."""
    if not len(sizes) or sizes.min() <= 0 or sizes.sum() != len(trees):
        raise ValueError("the sizes of the trees are not those of their texts")
    ends = np.cumsum(sizes).tolist()
    for start, end in zip([0, *ends], ends, strict=False):
        yield trees[start:end]


def _fields(block: str, number: int) -> dict[str, str]:
    title, *lines = block.split("\n")
    if title != f"Tree={number}" or lines[-3:] != ["", "", ""]:
        raise ValueError(f"its text begins with {title[:50]!r}")
    found = dict(line.partition("=")[::2] for line in lines[:-3])
    if len(found) != len(lines) - 3 or "=" in "".join(found):
        raise ValueError("a field comes twice")
    categories = found.get("num_cat") != "0"
    wanted = [key for key in _TREE if categories or key not in _OF_CATEGORIES]
    if list(found) != wanted:
        raise ValueError(f"it has the fields {list(found)[:30]}")
    return found


def _require_tree(fields: Mapping[str, str], expected: Expected) -> None:
    leaves = _one("num_leaves", fields, 1, expected.most_leaves)
    if fields["is_linear"] != "0":
        raise ValueError("its leaves are linear models")
    splits = leaves - 1
    for key in ("split_gain", "threshold", "internal_value", "internal_weight"):
        _reals(key, fields, splits)
    for key in ("leaf_value", "leaf_weight"):
        _reals(key, fields, leaves)
    _reals("shrinkage", fields, 1)
    _between("leaf_count", fields, leaves, 0, 2**31 - 1)
    _between("internal_count", fields, splits, 0, 2**31 - 1)
    _between("split_feature", fields, splits, 0, expected.columns - 1)
    kinds = _between("decision_type", fields, splits, 0, _KINDS - 1)
    _require_nodes(fields, leaves)
    _require_categories(fields, kinds)


def _require_nodes(fields: Mapping[str, str], leaves: int) -> None:
    """Each node but the first, and each leaf, is the child of one node that comes before it."""
    splits = leaves - 1
    sides = [_between(key, fields, splits, -leaves, splits - 1) for key in _SIDES]
    parents = np.tile(np.arange(splits), 2)
    children = np.concatenate(sides)
    inner = children >= 0
    once = np.bincount(children[inner], minlength=splits)
    if (
        (once[1:] != 1).any()
        or once[:1].any()
        or (children[inner] <= parents[inner]).any()
        or (np.bincount(~children[~inner], minlength=leaves) != 1)[: leaves if splits else 0].any()
    ):
        raise ValueError("its nodes make no tree")


_SIDES = ("left_child", "right_child")


def _require_categories(fields: Mapping[str, str], kinds: npt.NDArray[np.int64]) -> None:
    """A split by categories names a set of them, by its number, in place of a threshold."""
    count = _one("num_cat", fields, 0, len(kinds))
    thresholds = _reals("threshold", fields, len(kinds))[(kinds & 1) == 1]
    if len(thresholds) != count or set(thresholds.tolist()) != set(range(count)):
        raise ValueError("its splits by categories name no sets")
    if not count:
        return
    bounds = _whole("cat_boundaries", fields["cat_boundaries"])
    words = _whole("cat_threshold", fields["cat_threshold"])
    if len(bounds) != count + 1 or bounds[0] != 0 or (np.diff(bounds) <= 0).any():
        raise ValueError("its sets of categories have no bounds")
    if bounds[-1] != len(words) or words.min() < 0 or words.max() >= 2**32:
        raise ValueError("its sets of categories are torn")


def _one(key: str, fields: Mapping[str, str], least: int, most: int) -> int:
    return int(_between(key, fields, 1, least, most)[0])


def _between(
    key: str, fields: Mapping[str, str], count: int, least: int, most: int
) -> npt.NDArray[np.int64]:
    values = _whole(key, fields[key])
    if len(values) != count:
        raise ValueError(f"{key} has {len(values)} values where {count} belong")
    if count and not (least <= values.min() and values.max() <= most):
        raise ValueError(f"a value of {key} is not within {least} and {most}")
    return values


def _whole(key: str, text: str) -> npt.NDArray[np.int64]:
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{key} is no list of whole numbers")
    return np.array(text.split(), dtype=np.int64)


def _reals(key: str, fields: Mapping[str, str], count: int) -> npt.NDArray[np.float64]:
    text = fields[key]
    if not _REAL.fullmatch(text):
        raise ValueError(f"{key} is no list of numbers")
    values = np.array(text.split(), dtype=np.float64)
    if len(values) != count or not np.isfinite(values).all():
        raise ValueError(f"{key} has no {count} finite values")
    return values
