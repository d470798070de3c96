"""No text of trees, torn or altered, gets past the check to XGBoost's parser and crashes there."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rayml.models.trees.xgboost import FILE, XGBoost
from rayml.models.trees.xgboost_text import Expected, count_values, require_booster
from rayml.settings.train import TrainSettings
from rayml.testing.rows import learnable, task_of
from rayml.types import FeatureShape

SHAPE = FeatureShape(3, (6,))
EXPECTED = Expected(3, (6,), 1, 31)


def trained(task: str = "binary", **arguments: Any) -> XGBoost:
    outputs = task_of(task).outputs
    estimator = XGBoost(SHAPE, outputs, max_depth=4, **arguments)
    rows = [learnable(task, SHAPE, 200, seed) for seed in (1, 2)]
    next(estimator.fit(*rows, task=task_of(task), settings=TrainSettings()))
    return estimator


@pytest.fixture(scope="module")
def content() -> bytes:
    return trained().save()[FILE]


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_what_xgboost_writes_is_admitted(task: str) -> None:
    outputs = task_of(task).outputs
    content = trained(task).save()[FILE]
    require_booster(content, Expected(3, (6,), outputs, 31))
    trees = json.loads(content)["learner"]["gradient_booster"]["model"]["trees"]
    assert count_values(content) == sum(len(each["parents"]) for each in trees)
    assert any(each["categories"] for each in trees), "no split by categories, which others test"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            r'"left_children":\[1,',
            '"left_children":[9999999,',
            "left_children is out of its bounds",
        ),
        (r'"left_children":\[1,', '"left_children":[1.0,', "no list of whole numbers"),
        (r'"left_children":\[1,', '"left_children":[true,', "no list of whole numbers"),
        (r'"left_children":\[1,', '"left_children":[0,', "the nodes make no tree"),
        (r'"left_children":\[1,', '"left_children":[-1,', "a node has one child"),
        (r'"left_children":\[1,', '"left_children":[', "parents has more or fewer|tree_param is"),
        (r'"parents":\[2147483647,0,', '"parents":[2147483647,1,', "the parents are not those"),
        (r'"right_children":\[2,', '"right_children":[99999999999999999999,', "another form"),
        (r'"split_indices":\[\d', '"split_indices":[4', "split_indices is out of its bounds"),
        (r'"split_indices":\[\d', '"split_indices":[-1', "split_indices is out of its bounds"),
        (r'"split_type":\[\d', '"split_type":[2', "split_type is out of its bounds"),
        (r'"default_left":\[\d', '"default_left":[2', "default_left is out of its bounds"),
        (r'"split_conditions":\[[^,]*', '"split_conditions":[NaN', "the number NaN"),
        (r'"split_conditions":\[[^,]*', '"split_conditions":[1e99', "out of its bounds"),
        (r'"split_conditions":\[[^,]*', '"split_conditions":[1', "no list of numbers"),
        (r'"split_conditions":\[[^,]*', '"split_conditions":["1"', "no list of numbers"),
        (r'"split_conditions":\[[^,]*,', '"split_conditions":[', "split_conditions has more or"),
        (r'"num_nodes":"\d+"', '"num_nodes":"999"', "tree_param is"),
        (r'"num_deleted":"0"', '"num_deleted":"1"', "tree_param is"),
        (r'"size_leaf_vector":"1"', '"size_leaf_vector":"8"', "tree_param is"),
        (r'"id":1,', '"id":7,', "the id of a tree is 7"),
        (r'"num_trees":"\d+"', '"num_trees":"1"', "gbtree_model_param is"),
        (r'"iteration_indptr":\[0,1,', '"iteration_indptr":[0,2,', "does not count the trees"),
        (r'"tree_info":\[0,', '"tree_info":[1,', "tree_info is out of its bounds"),
        (r'"tree_info":\[0,', '"tree_info":[', "tree_info does not name"),
        (
            r'"num_feature":"4","num_target"',
            '"num_feature":"9","num_target"',
            "learner_model_param",
        ),
        (r'"num_class":"0"', '"num_class":"3"', "learner_model_param is"),
        (r'"base_score":"\[[^"]*\]"', '"base_score":"[1.5E0]"', "no probability"),
        (r'"base_score":"\[[^"]*\]"', '"base_score":"[1E-1,1E-1]"', "base_score is"),
        (r'"base_score":"\[[^"]*\]"', '"base_score":"nan"', "base_score is"),
        (r'"name":"binary:logistic"', '"name":"rank:pairwise"', "the objective is"),
        (r'"name":"gbtree"', '"name":"dart"', "the booster is dart"),
        (r'"enc":\[\]', '"enc":[1]', "cats is"),
        (r'"feature_types":\["q"', '"feature_types":["c"', "feature_types is"),
        (r'"attributes":\{\}', '"attributes":{"best_iteration":"3"}', "attributes is"),
        (r'"version":\[3,2', '"version":[2,0', "that of XGBoost 3.2 is read"),
        (r'"version":', '"version":[3,2,0],"version":', "a key of the trees' text repeats"),
        (r'"loss_changes"', r'"loss_chang\\u0065s"', "other characters"),
        (r'"loss_changes"', '"gains"', "tree 0 has the fields"),
        (r"^\{", "[" * 100_000, "more levels|Expecting|another form"),
        ("1", "¹", "other characters"),
    ],
)
def test_what_is_altered_is_named(content: bytes, old: str, new: str, words: str) -> None:
    text = content.decode()
    altered = re.sub(old, new, text, count=1)
    assert altered != text
    with pytest.raises(ValueError, match=words):
        require_booster(altered.encode(), EXPECTED)


def _first(trees: list[dict[str, Any]]) -> dict[str, Any]:
    return next(each for each in trees if each["categories"])


def _empty_set(tree: dict[str, Any]) -> None:
    for key in ("categories_sizes", "categories_segments"):
        tree[key].insert(0, 0)
    tree["categories_nodes"].insert(0, tree["categories_nodes"][0])


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "categories is out of its bounds": lambda tree: tree["categories"].__setitem__(0, 6),
    "categories has more or fewer": lambda tree: tree["categories"].append(1),
    "categories_segments is": lambda tree: tree["categories_segments"].__setitem__(0, 1),
    "categories_nodes has more": lambda tree: tree["categories_nodes"].append(0),
    "categories name no sets": lambda tree: tree["categories_nodes"].__setitem__(
        0, len(tree["parents"]) - 1
    ),
    "splits by categories": _empty_set,
    "a leaf is split by": lambda tree: tree["split_type"].__setitem__(-1, 1),
}


@pytest.mark.parametrize("words", CHANGES)
def test_sets_of_categories_that_are_not_there_are_refused(content: bytes, words: str) -> None:
    found = json.loads(content)
    CHANGES[words](_first(found["learner"]["gradient_booster"]["model"]["trees"]))
    with pytest.raises(ValueError, match=words):
        require_booster(json.dumps(found).encode(), EXPECTED)


def test_deeper_trees_than_the_settings_allow_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="more nodes than its settings allow"):
        XGBoost(SHAPE, 1, max_depth=1).load({FILE: content})


def test_trees_for_fewer_outputs_than_there_are_do_not_load() -> None:
    found = json.loads(trained("multiclass").save()[FILE])
    found["learner"]["gradient_booster"]["model"]["trees"].pop()
    with pytest.raises(ValueError, match="trees for 3 outputs"):
        require_booster(json.dumps(found).encode(), Expected(3, (6,), 3, 31))


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from rayml.models.trees.xgboost import FILE, XGBoost
from rayml.types import Features, FeatureShape

draw = np.random.default_rng(0)
rows = Features(draw.normal(size=(20, 3)).astype(np.float32), draw.integers(0, 6, (20, 1)))
refused = 0
paths = sorted(Path(sys.argv[1]).iterdir())
for path in paths:
    estimator = XGBoost(FeatureShape(3, (6,)), 1, max_depth=4)
    try:
        estimator.load({FILE: path.read_bytes()})
    except ValueError:
        refused += 1
        continue
    estimator.predict(rows)
    estimator._contributions(rows)
print(refused, len(paths))
"""


def test_torn_and_flipped_texts_crash_nothing(content: bytes, tmp_path: Path) -> None:
    draw = random.Random(0)
    cut = [content[: draw.randrange(len(content))] for _ in range(100)]
    flipped = []
    for _ in range(300):
        changed = bytearray(content)
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        flipped.append(bytes(changed))
    # Whole numbers put in the places of others find what single digits do not.
    numbers = list(re.finditer(rb"-?\d+(?=[,\]])", content))
    for _ in range(200):
        place = draw.choice(numbers)
        value = str(draw.choice([-2, -1, 0, 1, 5, 31, 2**31, 2**40])).encode()
        flipped.append(content[: place.start()] + value + content[place.end() :])
    for number, each in enumerate([*cut, *flipped]):
        (tmp_path / f"{number:03}").write_bytes(each)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    refused, whole = map(int, done.stdout.split())
    assert whole == 600
    # Those that are admitted have another digit in a value, which the bundle's hashes find.
    assert 100 <= refused < 600
