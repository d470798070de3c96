"""The policy of `space=auto`: what a sweep of a table searches, as overrides with their reasons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

# Set by reckoning what a training costs; no measurement over many tables chose them yet.
MOST_EMBEDDED = 150
"""Columns of numbers that a network embeds one by one."""
MOST_CLASSES_OF_TREES = 60
"""Each round grows a tree a class."""
MOST_CELLS_OF_LINEAR = 5_000_000
"""Training rows times weights of a linear model, which is fitted in one go, hundreds of passes."""
MANY_ROWS = 200_000
"""Training rows from which networks take larger batches."""
FOLDS_KEY = "data.split.folds"
FOLDED_ROWS = 10_000
"""Rows of training and validation below which they are dealt into folds."""
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
    return AutoChoice((*_families(facts), *_folds(facts), *_budget(facts), *_ensemble()))


def _families(facts: TableFacts) -> Iterator[Decision]:
    if facts.family:
        yield (f"space={facts.family}",), f"the space is that of model={facts.family}"
        return
    without = _left_out(facts)
    left = [each for each in ("mlp", "lightgbm", "linear") if each not in without]
    names = {"mlp": "networks", "lightgbm": "boosted trees", "linear": "linear models"}
    searched = listed([names[each] for each in left])
    yield ("space=all",), f"{searched} are searched side by side: {_size(facts)}"
    if without:
        first = left[0]
        yield (
            (
                f"space.model.family.choices=[{','.join(left)}]",
                f"model.family={first}",
                *(f"~space.model.{each}" for each in without),
            ),
            "; ".join(f"no {names[each]}: {why}" for each, why in without.items()),
        )
    if facts.numbers > MOST_EMBEDDED:
        keys = ("numeric", "numeric_width", "frequencies", "sigma", "bins")
        yield (
            tuple(f"~space.model.mlp.{key}" for key in keys),
            f"networks read the {facts.numbers:,} numbers as they are, without embeddings",
        )
    if facts.rows > MANY_ROWS:
        yield (
            ("space.train.batch_size.choices=[1024,4096]", "train.batch_size=1024"),
            f"networks take batches of 1024 or 4096 of the {facts.rows:,} training rows",
        )


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
    rows = facts.rows + facts.validation
    enough = facts.rarest is None or facts.rarest >= FOLDS * ROWS_OF_A_CLASS
    if rows < FOLDED_ROWS and rows >= FOLDS * ROWS_OF_A_CLASS and enough:
        yield (
            (f"{FOLDS_KEY}={FOLDS}",),
            f"{rows:,} rows are few: they train and validate in turn, in {FOLDS} folds, and a trial"
            f" is {FOLDS} models",
        )


def _budget(facts: TableFacts) -> Iterator[Decision]:
    if facts.seconds is None and facts.bounded:
        return
    total = facts.seconds or USUAL_SECONDS
    kept = max(KEPT_SECONDS, KEPT_SHARE * total) + facts.start
    # Workers take about twice as long as Ray until they train.
    search = max(LEAST_SECONDS + 2 * facts.start, total - facts.spent - kept)
    given = "" if facts.seconds else " (search.seconds=… gives another time)"
    seconds = f"search.seconds={search:.0f}"
    trials = "null" if facts.seconds else str(USUAL_TRIALS)
    yield (
        (seconds, f"search.trials={trials}", f"confirm.seconds={kept / 2:.0f}"),
        f"of {total:g} seconds{given} {facts.spent:.0f} are spent and {kept:.0f} kept for the"
        f" ensemble and the endpoint: the search has {search:.0f}"
        + ("" if facts.seconds else f", or {USUAL_TRIALS} trials"),
    )


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
