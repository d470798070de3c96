"""No text of trees, torn or altered, gets past the check to LightGBM's parser and crashes there."""

from __future__ import annotations

import random
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rayml.models.trees.booster_text import Expected, count_values, require_booster
from rayml.models.trees.lightgbm import FILE, LightGBM
from rayml.models.trees.objective import objective_texts
from rayml.settings.train import TrainSettings
from rayml.testing.rows import learnable, task_of
from rayml.types import Examples, Features, FeatureShape

SHAPE = FeatureShape(3, (6,))
EXPECTED = Expected(4, 1, 31, objective_texts(1))


def trained(task: str = "binary", **arguments: object) -> LightGBM:
    outputs = task_of(task).outputs
    estimator = LightGBM(SHAPE, outputs, min_data_in_leaf=5, min_data_per_group=5, **arguments)
    rows = [learnable(task, SHAPE, 200, seed) for seed in (1, 2)]
    fitted = estimator.fit(*rows, task=task_of(task), settings=TrainSettings())
    next(fitted)
    return estimator


@pytest.fixture(scope="module")
def text() -> str:
    return trained().save()[FILE].decode()


def test_what_lightgbm_writes_is_admitted(text: str) -> None:
    assert require_booster(text.encode(), EXPECTED) == text
    leaves = [int(each) for each in re.findall(r"num_leaves=(\d+)", text)]
    assert count_values(text) == sum(2 * each - 1 for each in leaves)
    assert "num_cat=1" in text, "the rows give no split by categories, which others test"


def test_settings_and_paths_of_training_are_left_out(text: str) -> None:
    assert "parameters" not in text
    assert text.endswith("end of trees\n")


def test_lightgbm_itself_reads_the_text(text: str, tmp_path: Path) -> None:
    import lightgbm

    (tmp_path / FILE).write_text(text)
    booster = lightgbm.Booster(model_file=tmp_path / FILE)
    rows = learnable("binary", SHAPE, 50, 3).features
    ours = trained().predict(rows)[:, 0]
    matrix = np.concatenate([rows.numeric, rows.categorical], axis=1)
    assert np.array_equal(booster.predict(matrix, raw_score=True), ours)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("left_child=1 ", "left_child=9999999 ", "left_child is out of its bounds"),
        (r"right_child=-?\d+", "right_child=0", "nodes make no tree"),
        (r"split_feature=\d+", "split_feature=4", "split_feature is out of its bounds"),
        (r"split_feature=\d+", "split_feature=-1", "split_feature is out of its bounds"),
        (r"split_feature=\d+", "split_feature=1.5", "Failed to parse"),
        (r"threshold=\S+", "threshold=nan", "threshold is no list of numbers"),
        (r"threshold=\S+", "threshold=inf", "threshold has numbers that are not finite"),
        (r"threshold=\S+", "threshold=infinity", "threshold is no list of numbers"),
        (r"threshold=\S+", "threshold=1-2", "Failed to parse"),
        (r"threshold=\S+ ", "threshold= ", "Failed to parse"),
        (r"leaf_value=\S+", "leaf_value=1e999", "not finite"),
        (r"leaf_value=\S+ ", "leaf_value=", "leaf_value has more or fewer numbers"),
        (r"num_leaves=\d+", "num_leaves=32", "num_leaves is out of its bounds"),
        (r"num_leaves=\d+", "num_leaves=1", "more or fewer numbers"),
        (r"decision_type=\d+", "decision_type=64", "decision_type is out of its bounds"),
        ("is_linear=0", "is_linear=1", "is_linear is out of its bounds"),
        (r"cat_boundaries=0 1", "cat_boundaries=0 9", "cat_threshold has more or fewer"),
        (r"cat_boundaries=0 1", "cat_boundaries=1 1", "no bounds"),
        (r"cat_threshold=\d+", "cat_threshold=-1", "cat_threshold is out of its bounds"),
        (r"num_cat=1", "num_cat=2", "name no sets"),
        (r"tree_sizes=\d", "tree_sizes=9", "sizes"),
        (r"tree_sizes=.*", "tree_sizes=", "sizes"),
        (r"tree_sizes=\d+", "tree_sizes=0", "tree_sizes is out of its bounds"),
        ("max_feature_idx=3", "max_feature_idx=9", "max_feature_idx is '9'"),
        ("num_class=1", "num_class=2", "num_class is '2'"),
        ("objective=binary sigmoid:1", "objective=binary sigmoid:0", "the objective is"),
        (r"feature_infos=\S+", "feature_infos=[0:1", "feature_infos"),
        ("version=v4", "version=v3", "version is 'v3'"),
        ("end of trees\n", "end of trees\n\nparameters:\n[data: x]\n", "does not end with"),
        ("Tree=1\n", "Tree=7\n", "tree 1 begins with 'Tree=7'"),
        ("split_gain=", "split_gaim=", "tree 0 has the fields"),
        ("1", "¹", "ascii"),
    ],
)
def test_what_is_altered_is_named(text: str, old: str, new: str, words: str) -> None:
    altered = re.sub(old, new, text, count=1)
    assert altered != text
    if not new.startswith("tree_sizes"):
        altered = with_right_sizes(altered)
    with pytest.raises(ValueError, match=words):
        require_booster(altered.encode(), EXPECTED)


def with_right_sizes(text: str) -> str:
    """The text with the sizes of its trees, so that the sizes do not give it away."""
    start = text.find("\n\n") + 2
    blocks = re.split(r"(?=^Tree=)", text[start : text.find("end of trees")], flags=re.MULTILINE)
    sizes = " ".join(str(len(block)) for block in blocks if block)
    return re.sub("tree_sizes=.*", f"tree_sizes={sizes}", text, count=1)


def test_a_split_may_part_missing_numbers_from_all_others() -> None:
    """LightGBM writes such a split with the threshold `inf`, and reads it again."""
    draw = np.random.default_rng(0)
    numeric = np.zeros((400, 2), np.float32)
    numeric[:, 1] = draw.random(400) < 0.3
    numeric[:, 0] = draw.normal(size=400) * (numeric[:, 1] == 0)
    rows = Features(numeric, np.zeros((400, 0), np.int64))
    examples = Examples(rows, numeric[:, 1].astype(np.int64))
    shape = FeatureShape(2, missing=(1, -1))
    estimator = LightGBM(shape, 1, missing="native")
    next(estimator.fit(examples, examples, task=task_of("binary"), settings=TrainSettings()))
    files = estimator.save()
    text = files[FILE].decode()
    assert re.search(r"^threshold=inf$", text, re.MULTILINE)
    again = LightGBM(shape, 1, missing="native")
    again.load(files)
    assert np.array_equal(again.predict(rows), estimator.predict(rows))
    for other in ("-inf", "nan"):
        altered = with_right_sizes(text.replace("threshold=inf", f"threshold={other}"))
        with pytest.raises(ValueError, match="threshold"):
            again.load({FILE: altered.encode()})


def test_nodes_in_a_circle_are_refused(text: str) -> None:
    for key in ("left_child", "right_child"):
        circle = re.sub(rf"^{key}=\S+", f"{key}=0", text, count=1, flags=re.MULTILINE)
        with pytest.raises(ValueError, match="no tree"):
            require_booster(with_right_sizes(circle).encode(), EXPECTED)


def test_trees_for_fewer_outputs_than_there_are_do_not_load() -> None:
    several = trained("multiclass").save()[FILE].decode()
    last = several.rindex("Tree=")
    torn = with_right_sizes(several[:last] + "end of trees\n")
    with pytest.raises(ValueError, match="trees for 3 outputs"):
        require_booster(torn.encode(), Expected(4, 3, 31, objective_texts(3)))


SCRIPT = """
import sys
from pathlib import Path
import numpy as np
from rayml.models.trees.lightgbm import FILE, LightGBM
from rayml.types import Features, FeatureShape

shape = FeatureShape(3, (6,))
draw = np.random.default_rng(0)
rows = Features(draw.normal(size=(20, 3)).astype(np.float32), draw.integers(0, 6, (20, 1)))
refused = 0
paths = sorted(Path(sys.argv[1]).iterdir())
for path in paths:
    estimator = LightGBM(shape, 1)
    try:
        estimator.load({FILE: path.read_bytes()})
    except ValueError:
        refused += 1
        continue
    estimator.predict(rows)
    estimator._contributions(rows)
print(refused, len(paths))
"""


def test_torn_and_flipped_texts_crash_nothing(text: str, tmp_path: Path) -> None:
    content = text.encode()
    draw = random.Random(0)
    cut = [content[: draw.randrange(len(content))] for _ in range(100)]
    flipped = []
    for _ in range(300):
        changed = bytearray(content)
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
        flipped.append(bytes(changed))
    for number, each in enumerate([*cut, *flipped]):
        (tmp_path / f"{number:03}").write_bytes(each)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    refused, whole = map(int, done.stdout.split())
    assert whole == 400
    # Those that are admitted have another digit in a value, which the bundle's hashes find.
    assert 100 <= refused < 400
