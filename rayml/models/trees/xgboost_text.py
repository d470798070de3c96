"""The JSON of an XGBoost model, checked before XGBoost sees it.

XGBoost trusts what it reads: a child that is no node of its tree, or a set of categories that lies
beyond its list, leads it out of its memory. A bundle's files may come from others, so this module
reads the whole text first and admits what XGBoost 3.2 itself writes, and nothing else.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Integers = npt.NDArray[np.int64]
Tree = Mapping[str, Any]

_VERSION = [3, 2]
_NO_PARENT = 2**31 - 1
_FLOAT32_LIMIT = float(np.finfo(np.float32).max)
_OF_NODES = ("left_children", "right_children", "parents", "split_indices")
_FLAGS = ("split_type", "default_left")
_REAL = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")
_OF_CATEGORIES = ("categories", "categories_nodes", "categories_segments", "categories_sizes")
_KEYS = {*_OF_NODES, *_FLAGS, *_REAL, *_OF_CATEGORIES, "id", "tree_param"}
_NO_CATEGORIES: Mapping[str, Any] = {"enc": [], "feature_segments": [], "sorted_idx": []}
_MULTICLASS = "multi:softprob"
_SCORE = re.compile(r"-?\d+(\.\d+)?(E-?\d+)?")


@dataclass(frozen=True, slots=True)
class Expected:
    """What an estimator knows of its trees without their text.

    Attributes:
        numbers: columns of numbers; the others hold codes.
        cardinalities: for each column of codes the number of its codes.
        outputs: of a row; each iteration has as many trees.
        most_nodes: of a tree.
    """

    numbers: int
    cardinalities: tuple[int, ...]
    outputs: int
    most_nodes: int

    @property
    def columns(self) -> int:
        """Of the features."""
        return self.numbers + len(self.cardinalities)


def count_values(content: bytes) -> int:
    """Number of splits and leaves of the trees in a text as XGBoost writes it."""
    return sum(map(int, re.findall(rb'"num_nodes":"(\d+)"', content)))


def require_booster(content: bytes, expected: Expected) -> None:
    """Check the text of a model.

    Args:
        content: the text.
        expected: of the model.

    Raises:
        ValueError: it is torn, altered, or of another model.
    """
    if b"\\" in content or not content.isascii():
        raise ValueError("the text of the trees holds other characters than XGBoost writes")
    try:
        found = json.loads(
            content, object_pairs_hook=_once_each, parse_constant=_refuse, parse_float=_real
        )
        _require_model(found, expected)
    except RecursionError as error:
        raise ValueError("the text of the trees has more levels than XGBoost writes") from error
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"the trees have another form than XGBoost writes ({error!r})") from error


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key of the trees' text repeats")
    return found


def _refuse(constant: str) -> float:
    raise ValueError(f"the trees have the number {constant}")


def _real(text: str) -> float:
    value = float(text)
    if abs(value) > _FLOAT32_LIMIT:
        raise ValueError(f"the number {text[:50]} is out of its bounds")
    return value


def _same(what: str, found: object, wanted: object) -> None:
    if found != wanted or type(found) is not type(wanted):
        raise ValueError(f"{what} is {str(found)[:100]}, and this model has {str(wanted)[:100]}")


def _require_model(found: Any, expected: Expected) -> None:
    _require_keys("the model", found, {"learner", "version"})
    version = found["version"]
    if len(version) != 3 or {*map(type, version)} != {int} or version[:2] != _VERSION:
        raise ValueError(f"the version is {str(version)[:50]}, and that of XGBoost 3.2 is read")
    learner = found["learner"]
    _require_keys(
        "the learner",
        learner,
        {
            *("attributes", "feature_names", "feature_types", "gradient_booster"),
            *("learner_model_param", "objective"),
        },
    )
    _same("attributes", learner["attributes"], {})
    _same("feature_names", learner["feature_names"], [])
    types = ["q"] * expected.numbers + ["c"] * len(expected.cardinalities)
    _same("feature_types", learner["feature_types"], types)
    _require_objective(learner["objective"], learner["learner_model_param"], expected)
    booster = learner["gradient_booster"]
    _require_keys("the booster", booster, {"model", "name"})
    _same("the booster", booster["name"], "gbtree")
    _require_booster(booster["model"], expected)


def _require_keys(what: str, found: Any, wanted: set[str]) -> None:
    if not isinstance(found, dict) or found.keys() != wanted:
        raise ValueError(f"{what} has the fields {str(list(found))[:300]}")


def _require_objective(objective: Any, param: Any, expected: Expected) -> None:
    several = expected.outputs > 1
    count = str(expected.outputs) if several else "0"
    names = (_MULTICLASS,) if several else ("binary:logistic", "reg:squarederror")
    if objective.get("name") not in names:
        raise ValueError(f"the objective is {str(objective.get('name'))[:100]}")
    own: dict[str, Any] = {"reg_loss_param": {"scale_pos_weight": "1"}}
    if several:
        own = {"softmax_multiclass_param": {"num_class": count}}
    _same("the objective", objective, {"name": objective["name"], **own})
    _require_keys("learner_model_param", param, {*_LEARNER, "base_score", "boost_from_average"})
    wanted = {**_LEARNER, "num_class": count, "num_feature": str(expected.columns)}
    _same("learner_model_param", {key: param[key] for key in wanted}, wanted)
    if param["boost_from_average"] not in ("0", "1"):
        raise ValueError("boost_from_average is neither 0 nor 1")
    _require_base(param["base_score"], expected.outputs, objective["name"])


_LEARNER = {"num_class": "0", "num_feature": "0", "num_target": "1"}


def _require_base(text: str, outputs: int, objective: str) -> None:
    """The constants that trees begin with, such as `[4.9E-1]`."""
    parts = text.removeprefix("[").removesuffix("]").split(",")
    written = all(map(_SCORE.fullmatch, parts)) and f"[{','.join(parts)}]" == text
    if not written or len(parts) not in (1, outputs):
        raise ValueError(f"base_score is {text[:100]!r}")
    scores = [_real(part) for part in parts]
    if objective == "binary:logistic" and not 0 < scores[0] < 1:
        raise ValueError(f"base_score is {text[:100]!r}, no probability")


def _require_booster(model: Any, expected: Expected) -> None:
    _require_keys(
        "the model of the booster",
        model,
        {"cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees"},
    )
    trees, outputs = model["trees"], expected.outputs
    _same("cats", model["cats"], dict(_NO_CATEGORIES))
    if not trees or len(trees) % outputs:
        raise ValueError(f"there are {len(trees)} trees for {outputs} outputs")
    rounds = len(trees) // outputs
    param = {"num_parallel_tree": "1", "num_trees": str(len(trees))}
    _same("gbtree_model_param", model["gbtree_model_param"], param)
    indptr = _whole("iteration_indptr", model["iteration_indptr"], 0, len(trees))
    info = _whole("tree_info", model["tree_info"], 0, outputs - 1)
    if not np.array_equal(indptr, np.arange(rounds + 1) * outputs):
        raise ValueError("iteration_indptr does not count the trees")
    if not np.array_equal(info, np.tile(np.arange(outputs), rounds)):
        raise ValueError("tree_info does not name the outputs of the trees")
    _require_trees(trees, expected)


def _require_trees(trees: Sequence[Tree], expected: Expected) -> None:
    for number, tree in enumerate(trees):
        _require_keys(f"tree {number}", tree, _KEYS)
        _same("the id of a tree", tree["id"], number)
        param = {
            "num_deleted": "0",
            "num_feature": str(expected.columns),
            "num_nodes": str(len(tree["left_children"])),
            "size_leaf_vector": "1",
        }
        _same("tree_param", tree["tree_param"], param)
    sizes = np.array([len(tree["left_children"]) for tree in trees], np.int64)
    if sizes.min() < 1 or sizes.max() > expected.most_nodes:
        raise ValueError("a tree has more nodes than its settings allow, or none")
    for key in (*_OF_NODES, *_FLAGS, *_REAL):
        if [len(tree[key]) for tree in trees] != sizes.tolist():
            raise ValueError(f"{key} has more or fewer numbers than its tree")
    for key in _REAL:
        if {*map(type, _flat(trees, key))} != {float}:
            raise ValueError(f"{key} is no list of numbers")
    _whole("default_left", _flat(trees, "default_left"), 0, 1)
    splits = _require_nodes(trees, sizes)
    columns = _whole("split_indices", _flat(trees, "split_indices"), 0, expected.columns - 1)
    by_category = _whole("split_type", _flat(trees, "split_type"), 0, 1) == 1
    if (by_category & ~(splits & (columns >= expected.numbers))).any():
        raise ValueError("a number or a leaf is split by categories")
    _require_categories(trees, sizes, by_category, columns, expected)


def _require_nodes(trees: Sequence[Tree], sizes: Integers) -> npt.NDArray[np.bool_]:
    """Each node but the first is the child of one node before it; returns which have children."""
    first = np.repeat(np.cumsum(sizes) - sizes, sizes)
    own = np.repeat(sizes, sizes)
    place = np.arange(len(first)) - first
    parents = _whole("parents", _flat(trees, "parents"), 0, _NO_PARENT)
    left, right = (
        _whole(key, _flat(trees, key), -1, own - 1) for key in ("left_children", "right_children")
    )
    splits = left >= 0
    if (splits != (right >= 0)).any():
        raise ValueError("a node has one child")
    children = np.concatenate([(first + left)[splits], (first + right)[splits]])
    above = np.concatenate([np.flatnonzero(splits)] * 2)
    named = np.bincount(children, minlength=len(first))
    if (children <= above).any() or (named != (place > 0)).any():
        raise ValueError("the nodes make no tree")
    wanted = np.full(len(first), _NO_PARENT)
    wanted[children] = place[above]
    if (parents != wanted).any():
        raise ValueError("the parents are not those whose children the nodes are")
    return splits


def _require_categories(
    trees: Sequence[Tree],
    sizes: Integers,
    by_category: npt.NDArray[np.bool_],
    columns: Integers,
    expected: Expected,
) -> None:
    """Each split by categories has its part of its tree's list, one after the other."""
    for tree in trees:
        counts = tree["categories_sizes"]
        ends = [0, *itertools.accumulate(counts)]
        _same("categories_segments", tree["categories_segments"], ends[:-1])
        if len(tree["categories"]) != ends[-1]:
            raise ValueError("categories has more or fewer numbers than its sizes")
    named = [len(tree["categories_nodes"]) for tree in trees]
    if named != [len(tree["categories_sizes"]) for tree in trees]:
        raise ValueError("categories_nodes has more or fewer numbers than its sizes")
    first = np.repeat(np.cumsum(sizes) - sizes, named)
    nodes = first + _whole("categories_nodes", _flat(trees, "categories_nodes"), 0, sizes.max())
    if not np.array_equal(nodes, np.flatnonzero(by_category)):
        raise ValueError("splits by categories name no sets")
    counts = _whole("categories_sizes", _flat(trees, "categories_sizes"), 1, 2**31 - 1)
    cardinalities = np.array([0] * expected.numbers + list(expected.cardinalities), np.int64)
    most = np.repeat(cardinalities[columns[nodes]], counts)
    _whole("categories", _flat(trees, "categories"), 0, most - 1)


def _flat(trees: Iterable[Tree], key: str) -> list[Any]:
    return list(itertools.chain.from_iterable(tree[key] for tree in trees))


def _whole(key: str, values: list[Any], least: Integers | int, most: Integers | int) -> Integers:
    """Whole numbers within bounds."""
    if {*map(type, values)} - {int}:
        raise ValueError(f"{key} is no list of whole numbers")
    found = np.array(values, np.int64)
    if not ((found >= least) & (found <= most)).all():
        raise ValueError(f"a number of {key} is out of its bounds")
    return found
