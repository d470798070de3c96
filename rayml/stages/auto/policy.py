"""The policy of `space=auto`: what a sweep of a table searches, as overrides with their reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Measured on tables of 800 to 39,000 rows, see tests/bench/LOG.md; what is for more is reckoned.
MOST_EMBEDDED = 150
"""Columns of numbers that a network embeds one by one."""
MEMBERS_EPOCHS = 25
"""Of the suggested TabM until it no longer gains."""
MEMBERS_SECONDS = (4e-5, 1.5e-6)
"""Of its epoch a row, and a row and column more, on one core."""
MOST_CLASSES_OF_TREES = 60
"""Each round grows a tree a class."""
MOST_CELLS_OF_LINEAR = 5_000_000
"""Training rows times weights of a linear model, which is fitted in one go, hundreds of passes."""
BATCHES = ((1_500, 32), (4_000, 64), (10_000, 128), (200_000, 256))
"""Rows below which networks take batches of so many; of fewer rows, epochs of few steps lose."""
LARGE_BATCHES = (1024, 4096)
"""Batches of more rows."""
FOLDS_KEY = "data.split.folds"
FOLDED_ROWS = 10_000
"""Rows of training and validation below which they are always dealt into folds."""
FOLDED_A_SECOND = 1000
"""More of them a second of the search are dealt too: few families train that fast."""
CELLS_A_SECOND = 30_000
"""Their numbers and codes a second at most: trees look at each column for each split."""
FOLDS = 5
"""Folds of a small table."""
ROWS_OF_A_CLASS = 3
"""Rows of the rarest class that each fold needs on average."""
USUAL_SECONDS = 60.0
"""Length of the whole command where the user sets no budget."""
USUAL_TRIALS = 60
"""Trials that end a sweep before its time, where the user names no budget."""
LEAST_SECONDS = 5.0
"""Shortest search, the start of its workers not counted."""
KEPT_SHARE = 0.1
"""Share of the time that is kept for selecting an ensemble and starting the endpoint."""
KEPT_SECONDS = 6.0
"""Least time that is kept for that."""

STARTS_KEPT = 4
"""So many times what Ray took to start, an endpoint takes with the version's registration."""
MEMBERS_SHARE = 0.8
"""Share of the search that the suggested TabM may take of one core."""
FAMILIES = {
    "mlp": "networks",
    "tabm": "networks of members",
    "lightgbm": "boosted trees",
    "linear": "linear models",
}
_EMBEDDINGS = tuple(
    f"~space.model.{family}.{key}"
    for family in ("mlp", "tabm")
    for key in ("numeric", "numeric_width", "frequencies", "sigma", "bins")
)

Decision = tuple[tuple[str, ...], str]


@dataclass(frozen=True)
class TableFacts:
    """What the policy goes by.

    Attributes:
        rows: of training.
        validation: rows of validation.
        rarest: rows of the rarest class among those of training; None for a number.
        numbers: columns that a network reads as numbers.
        categories: columns that it reads as codes.
        classes: of the target; 0 for a number.
        family: of models that the user chose by `model=`; empty for all of them.
        trees: whether LightGBM is installed.
        codes: of all columns of categories together.
        linear: whether a linear model can learn the task.
        seconds: that the user gives the whole command; None where no budget is given.
        bounded: whether another budget ends the search, such as a number of trials.
        spent: seconds of the command so far.
        start: of them those that Ray took to start, about as long as an endpoint takes.
    """

    rows: int
    numbers: int
    categories: int
    classes: int
    validation: int = 0
    rarest: int | None = None
    family: str = ""
    codes: int = 0
    trees: bool = True
    linear: bool = True
    seconds: float | None = None
    bounded: bool = False
    spent: float = 0.0
    start: float = 0.0


@dataclass(frozen=True)
class AutoChoice:
    """What was chosen.

    Attributes:
        decisions: of each the overrides of the config, in Hydra's grammar, and the reason.
    """

    decisions: tuple[Decision, ...] = ()

    @property
    def overrides(self) -> tuple[str, ...]:
        """Those of all decisions; a command with them does the same."""
        return tuple(each for overrides, _ in self.decisions for each in overrides)

    @property
    def reasons(self) -> tuple[str, ...]:
        """A line for each decision."""
        return tuple(reason for _, reason in self.decisions)

    def besides(self, given: Sequence[str]) -> AutoChoice:
        """The choice but for keys that are given, they or a group that they are in."""
        left = (
            (tuple(each for each in overrides if not is_given(key_of(each), given)), reason)
            for overrides, reason in self.decisions
        )
        return AutoChoice(tuple(each for each in left if each[0]))


def key_of(override: str) -> str:
    """The dotted key of an override in Hydra's grammar."""
    return override.lstrip("+~").partition("=")[0]


def is_given(key: str, given: Sequence[str]) -> bool:
    """Whether keys hold one, or a group or section that it is in."""
    return any(key == each or key.startswith(f"{each}.") for each in given)


def choose(facts: TableFacts) -> AutoChoice:
    """Choose the families, their settings, the budgets and how models are put together."""
    decisions = (*_families(facts), *_batches(facts), *_folds(facts), *_budget(facts), *_ensemble())
    return AutoChoice(decisions)


def _families(facts: TableFacts) -> Iterator[Decision]:
    if facts.family:
        yield (f"space={facts.family}",), f"the space is that of model={facts.family}"
        return
    without = _left_out(facts)
    left = [each for each in FAMILIES if each not in without]
    searched = listed(list(dict.fromkeys(FAMILIES[each] for each in left)))
    reason = f"{searched} are searched side by side: {_size(facts)}"
    if facts.numbers > MOST_EMBEDDED:
        yield ("space=all_wide",), reason
        yield (
            _EMBEDDINGS,
            f"networks read the {facts.numbers:,} numbers as they are, without embeddings",
        )
    elif _members_seconds(facts) > MEMBERS_SHARE * (_search_seconds(facts) or USUAL_SECONDS):
        yield ("space=all_fast",), f"{reason}; for networks of members there is little time"
    else:
        yield ("space=all",), reason
    if without:
        first = left[0]
        yield (
            (
                f"space.model.family.choices=[{','.join(left)}]",
                f"model.family={first}",
                *(f"~space.model.{each}" for each in without),
            ),
            "; ".join(f"no {FAMILIES[each]}: {why}" for each, why in without.items()),
        )


def _batches(facts: TableFacts) -> Iterator[Decision]:
    if facts.family:
        return
    rows = facts.rows + (facts.validation if _folded(facts) else 0)
    size = next((size for most, size in BATCHES if rows < most), LARGE_BATCHES[0])
    choices = LARGE_BATCHES if size == LARGE_BATCHES[0] else (size // 2, size, 2 * size)
    yield (
        (
            f"space.train.batch_size.choices=[{','.join(map(str, choices))}]",
            f"train.batch_size={size}",
        ),
        f"networks take batches of {size} of the {rows:,} rows at first",
    )


def _members_seconds(facts: TableFacts) -> float:
    """Predicted time of the suggested TabM on one core."""
    row, column = MEMBERS_SECONDS
    columns = facts.numbers + facts.categories
    passes = (FOLDS - 1) * (facts.rows + facts.validation) if _folded(facts) else facts.rows
    return MEMBERS_EPOCHS * passes * (row + column * columns)


def _left_out(facts: TableFacts) -> dict[str, str]:
    """Families that are not searched, and why."""
    without = {}
    weights = (facts.numbers + facts.codes) * (facts.classes if facts.classes > 2 else 1)
    if not facts.trees:
        without["lightgbm"] = "LightGBM is not installed, `pip install 'rayml[trees]'` brings it"
    elif facts.classes > MOST_CLASSES_OF_TREES:
        without["lightgbm"] = f"each round would grow a tree for each of {facts.classes} classes"
    if not facts.linear:
        without["linear"] = "they cannot learn the loss of your own task"
    elif facts.rows * weights > MOST_CELLS_OF_LINEAR:
        without["linear"] = f"{facts.rows:,} rows times {weights:,} weights take minutes at once"
    return without


def _folds(facts: TableFacts) -> Iterator[Decision]:
    if _folded(facts):
        yield (
            (f"{FOLDS_KEY}={FOLDS}",),
            f"the {facts.rows + facts.validation:,} rows train and validate in turn, in {FOLDS}"
            f" folds, and a trial is {FOLDS} models",
        )


def _folded(facts: TableFacts) -> bool:
    rows = facts.rows + facts.validation
    enough = facts.rarest is None or facts.rarest >= FOLDS * ROWS_OF_A_CLASS
    seconds = _search_seconds(facts)
    most = max(FOLDED_ROWS, FOLDED_A_SECOND * (seconds or 0))
    cells = rows * (facts.numbers + facts.categories)
    few = cells < CELLS_A_SECOND * (seconds or USUAL_SECONDS)
    return enough and few and FOLDS * ROWS_OF_A_CLASS <= rows < most


def _budget(facts: TableFacts) -> Iterator[Decision]:
    search = _search_seconds(facts)
    if search is None:
        return
    total, kept = facts.seconds or USUAL_SECONDS, _kept(facts)
    given = "" if facts.seconds else " (search.seconds=… gives another time)"
    trials = "null" if facts.seconds else str(USUAL_TRIALS)
    yield (
        (
            f"search.seconds={search:.0f}",
            f"search.trials={trials}",
            f"confirm.seconds={kept / 3:.0f}",
        ),
        f"of {total:g} seconds{given} {facts.spent:.0f} are spent and {kept:.0f} kept for the"
        f" ensemble and the endpoint: the search has {search:.0f}"
        + ("" if facts.seconds else f", or {USUAL_TRIALS} trials"),
    )


def _search_seconds(facts: TableFacts) -> float | None:
    """Of the search; None where another budget than time ends it."""
    if facts.seconds is None and facts.bounded:
        return None
    total = facts.seconds or USUAL_SECONDS
    # Workers take about twice as long as Ray until they train.
    return max(LEAST_SECONDS + 2 * facts.start, total - facts.spent - _kept(facts))


def _kept(facts: TableFacts) -> float:
    """Seconds for selecting an ensemble, and for starting an endpoint, which Ray's start tells."""
    total = facts.seconds or USUAL_SECONDS
    return max(KEPT_SECONDS, KEPT_SHARE * total) + STARTS_KEPT * facts.start


def _ensemble() -> Iterator[Decision]:
    yield (
        ("confirm=greedy", "confirm.seeds=0"),
        "the ensemble is selected among the models of all trials, none is trained again",
    )


def _size(facts: TableFacts) -> str:
    kinds = {"of numbers": facts.numbers, "of categories": facts.categories}
    columns = [f"{n:,} {name}" for name, n in kinds.items() if n]
    target = f"{facts.classes} classes" if facts.classes else "a number"
    shown = listed(columns) or "none"
    return f"{facts.rows:,} training rows, columns: {shown}, target: {target}"


def listed(words: Sequence[str]) -> str:
    """Words as a list in a sentence: `a, b and c`."""
    return " and ".join(part for part in (", ".join(words[:-1]), *words[-1:]) if part)
