"""The text of a LightGBM model, checked before LightGBM's parser sees it.

That parser, in C++, trusts what it reads: a child that is no node of its tree, or a size that is
not that of its text, leads it out of its memory. A bundle's files may come from others, so this
module reads the whole text first and admits what LightGBM 4 itself writes, and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Integers = npt.NDArray[np.int64]
Bound = Integers | int

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
_NUMBERS = re.compile(r"[0-9.e+ -]*")
_INFINITE = "inf"
_INFOS = re.compile(r"(none|\[[0-9.e+-]+:[0-9.e+-]+\]|-?\d+(:-?\d+)*)")
# A node's kind: bit 0 for categories, bit 1 for the default side, bits 2 and 3 for missing values.
_KINDS = 16
_NAN_IS_MISSING = 2


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
    leaves = [int(each) for each in re.findall(r"\nnum_leaves=(\d+)", text)]
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
    fields = [_fields(block, number) for number, block in enumerate(_blocks(trees, sizes))]
    if len(fields) % expected.outputs:
        raise ValueError(f"there are {len(fields)} trees for {expected.outputs} outputs")
    _require_trees(_Fields(fields), expected)
    return text


def _require_header(head: str, expected: Expected) -> Integers:
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
    sizes = found["tree_sizes"]
    return _Fields([{"tree_sizes": sizes}]).whole(
        "tree_sizes", np.array([_count(sizes)]), 1, 2**31 - 1
    )


def _blocks(trees: str, sizes: Integers) -> Iterator[str]:
    """The text of each tree; LightGBM jumps from one to the next by their sizes."""
    if sizes.sum() != len(trees):
        raise ValueError("the sizes of the trees are not those of their texts")
    ends = np.cumsum(sizes).tolist()
    for start, end in zip([0, *ends], ends, strict=False):
        yield trees[start:end]


def _fields(block: str, number: int) -> dict[str, str]:
    title, *lines = block.split("\n")
    if title != f"Tree={number}" or lines[-3:] != ["", "", ""]:
        raise ValueError(f"the text of tree {number} begins with {title[:50]!r}")
    found = dict(line.partition("=")[::2] for line in lines[:-3])
    categories = found.get("num_cat") != "0"
    wanted = [key for key in _TREE if categories or key not in _OF_CATEGORIES]
    if list(found) != wanted or len(lines) - 3 != len(wanted):
        raise ValueError(f"tree {number} has the fields {list(found)[:30]}")
    return found


class _Fields:
    """The fields of all trees; each is read for all trees at once, as there may be thousands."""

    def __init__(self, trees: Sequence[Mapping[str, str]]) -> None:
        self._trees = trees

    def __len__(self) -> int:
        return len(self._trees)

    def whole(
        self, key: str, counts: Integers, least: Integers | int, most: Integers | int
    ) -> Integers:
        """Whole numbers of a field within bounds, tree after tree.

        Args:
            key: of the field.
            counts: of its numbers, of each tree or of all alike.
            least: bound of each number, or of all.
            most: bound of each number, or of all.
        """
        values: Integers = self._values(key, counts, pa.int64()).to_numpy()
        if not ((values >= least) & (values <= most)).all():
            raise ValueError(f"a number of {key} is out of its bounds")
        return values

    def real(self, key: str, counts: Integers) -> npt.NDArray[np.float64]:
        """Finite numbers of a field, tree after tree."""
        values: npt.NDArray[np.float64] = self._values(key, counts, pa.float64()).to_numpy()
        if not np.isfinite(values).all():
            raise ValueError(f"{key} has numbers that are not finite")
        return values

    def thresholds(self, counts: Integers, kinds: Integers) -> npt.NDArray[np.float64]:
        """Thresholds: `inf` where a split of numbers parts the missing ones from all others."""
        found = self._values("threshold", counts, pa.float64(), word=_INFINITE)
        values: npt.NDArray[np.float64] = found.to_numpy()
        of_missing = (kinds & 1 == 0) & (kinds >> 2 == _NAN_IS_MISSING)
        if not (np.isfinite(values) | of_missing & (values == np.inf)).all():
            raise ValueError("threshold has numbers that are not finite")
        return values

    def _values(
        self, key: str, counts: Integers, kind: pa.DataType, *, word: str = " "
    ) -> pa.Array:
        texts = [tree.get(key, "") for tree in self._trees]
        found = np.array([_count(text) for text in texts])
        if (found != counts).any():
            raise ValueError(f"{key} has more or fewer numbers than its tree")
        joined = " ".join(filter(None, texts))
        if not _NUMBERS.fullmatch(joined.replace(word, "")):
            raise ValueError(f"{key} is no list of numbers")
        return _texts(joined).cast(kind)


def _texts(joined: str) -> pa.Array:
    """Texts between single spaces, for Arrow: it reads many fast, and nothing half a number."""
    letters = np.frombuffer(joined.encode(), np.uint8)
    spaces = np.flatnonzero(letters == ord(" "))
    count = len(spaces) + 1 if joined else 0
    # Without the spaces a text ends where the next one begins.
    ends = spaces - np.arange(len(spaces))
    places = np.concatenate([[0], ends, [len(letters) - len(spaces)]]).astype(np.int32)
    together = letters[letters != ord(" ")].tobytes()
    return pa.StringArray.from_buffers(
        count, pa.py_buffer(places[: count + 1].tobytes()), pa.py_buffer(together)
    )


def _count(text: str) -> int:
    return text.count(" ") + 1 if text else 0


def _require_trees(fields: _Fields, expected: Expected) -> None:
    one = np.ones(len(fields), dtype=np.int64)
    leaves = fields.whole("num_leaves", one, 1, expected.most_leaves)
    fields.whole("is_linear", one, 0, 0)
    splits = leaves - 1
    for key in ("split_gain", "internal_value", "internal_weight"):
        fields.real(key, splits)
    for key, counts in (("leaf_value", leaves), ("leaf_weight", leaves), ("shrinkage", one)):
        fields.real(key, counts)
    fields.whole("leaf_count", leaves, 0, 2**31 - 1)
    fields.whole("internal_count", splits, 0, 2**31 - 1)
    fields.whole("split_feature", splits, 0, expected.columns - 1)
    kinds = fields.whole("decision_type", splits, 0, _KINDS - 1)
    _require_nodes(fields, leaves)
    _require_categories(fields, splits, kinds)


def _require_nodes(fields: _Fields, leaves: Integers) -> None:
    """Each node but the first, and each leaf, is the child of one node that comes before it."""
    splits = leaves - 1
    tree = np.repeat(np.arange(len(leaves)), splits)
    first_node, first_leaf = np.cumsum(splits) - splits, np.cumsum(leaves) - leaves
    place = np.arange(len(tree)) - first_node[tree]
    nodes = np.zeros(len(tree), np.int64)
    ends = np.zeros(int(leaves.sum()), np.int64)
    for key in ("left_child", "right_child"):
        child = fields.whole(key, splits, -leaves[tree], splits[tree] - 1)
        inner = child >= 0
        if (child[inner] <= place[inner]).any():
            raise ValueError("the nodes make no tree")
        nodes += np.bincount((first_node[tree] + child)[inner], minlength=len(nodes))
        ends += np.bincount((first_leaf[tree] + ~child)[~inner], minlength=len(ends))
    if (nodes != (place > 0)).any() or (ends != np.repeat(splits > 0, leaves)).any():
        raise ValueError("the nodes make no tree")


def _require_categories(fields: _Fields, splits: Integers, kinds: Integers) -> None:
    """A split by categories names a set of them, by its number, in place of a threshold."""
    one = np.ones(len(fields), dtype=np.int64)
    sets = fields.whole("num_cat", one, 0, splits)
    by_category = (kinds & 1) == 1
    tree = np.repeat(np.arange(len(splits)), splits)[by_category]
    named = fields.thresholds(splits, kinds)[by_category]
    first = np.cumsum(sets) - sets
    if (named % 1 != 0).any() or (named < 0).any() or (named >= sets[tree]).any():
        raise ValueError("splits by categories name no sets")
    if (np.bincount(first[tree] + named.astype(np.int64), minlength=sets.sum()) != 1).any():
        raise ValueError("splits by categories name no sets")
    of_trees = np.where(sets > 0, sets + 1, 0)
    bounds = fields.whole("cat_boundaries", of_trees, 0, 2**31 - 1)
    starts = (np.cumsum(of_trees) - of_trees)[sets > 0]
    rising = np.diff(bounds, prepend=-1) > 0
    rising[starts] = bounds[starts] == 0
    if not rising.all():
        raise ValueError("sets of categories have no bounds")
    words = np.zeros(len(sets), np.int64)
    words[sets > 0] = bounds[starts + sets[sets > 0]]
    fields.whole("cat_threshold", words, 0, 2**32 - 1)
