"""Estimators: models that train themselves round by round and lie in named plain files.

A trial trains an estimator, a bundle holds one or several. A PyTorch module is another kind of
model: rayml trains it, with others as lanes of stacked tensors. Everything around a model (pruning,
confirmation, ensembles, the endpoint) treats both alike.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy.typing as npt

from rayml.errors import ExplainError
from rayml.settings.train import TrainSettings
from rayml.types import Examples, Features

if TYPE_CHECKING:
    from rayml.tasks.task import Task

Files = Mapping[str, bytes]
"""The content of plain files by name, see `rayml.models.estimators.files`."""

READ_BY_ALL = frozenset({"epochs", "patience", "seed", "threads"})
"""Settings of the section `train` that matter to every estimator."""


@dataclass(frozen=True, slots=True)
class Round:
    """What an estimator reports after a round of training.

    A round is whatever the estimator takes as one, such as ten trees. It counts as an epoch: the
    pruner sees it, and `train.epochs` and `train.patience` count it.

    Attributes:
        loss: of the training rows.
        outputs: for the validation rows, as of `Estimator.predict`, where the estimator has them
            anyway; None lets rayml call `predict`.
        steps: of work in the round, such as its trees.
        last: whether the estimator has no further round.
    """

    loss: float
    outputs: npt.NDArray[Any] | None = None
    steps: int = 1
    last: bool = False


class Estimator(ABC):
    """A model that trains itself; the base class of a user's own.

    A config names it as `model: {_target_: …}`. Its constructor takes `shape: FeatureShape`, of the
    features, and `outputs: int`, the number of outputs a row, by those names, besides its settings.

    Features are numbers and codes, see `rayml.types.Features`; code 0 of a column means missing or
    unknown. Arrays that an estimator is given are shared with other trials and requests, and are
    read-only. An endpoint calls `predict` and `explain` from several threads at once.

    Attributes:
        resumes: whether `fit` goes on after `load` where the saved estimator had stopped. A trial
            of one that does not starts again when its worker dies.
        batch_invariant: whether a row's outputs have the same bits in every batch. An endpoint
            with `serve.batch_invariant` asks one that does not for one row at a time.
        reads: settings of the section `train` that `fit` reads besides `READ_BY_ALL`, such as
            `label_smoothing`; a space that searches others is refused.
        packages: installed packages that decide what it computes; a bundle notes their versions.
    """

    resumes: ClassVar[bool] = False
    batch_invariant: ClassVar[bool] = False
    reads: ClassVar[frozenset[str]] = frozenset()
    packages: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def fit(
        self, train: Examples, validation: Examples, *, task: Task, settings: TrainSettings
    ) -> Iterator[Round]:
        """Train, and yield after each round; training ends where nobody asks for the next one.

        The result follows from the arguments: numbers are drawn by `settings.seed`, or from the
        global generators of Python, NumPy and PyTorch, which start from it.

        Args:
            train: the training split; targets are int64 codes of classes or float32 standardised
                values.
            validation: the validation split.
            task: loss, metrics and meaning of the outputs.
            settings: of the trial; `settings.threads` is the number of CPU threads to use.
        """

    @abstractmethod
    def predict(self, features: Features) -> npt.NDArray[Any]:
        """Outputs as the task decodes them, [rows, outputs] real numbers.

        Of two classes the log-odds of the second one, of several their log-probabilities up to a
        constant, of a regression the standardised value.
        """

    @abstractmethod
    def save(self) -> Files:
        """All that `load` needs, as a few plain files without pickle (JSON, text, safetensors)."""

    @abstractmethod
    def load(self, files: Files) -> None:
        """Take what `save` gave, in an estimator that was constructed with the same arguments.

        A bundle's files may come from others: nothing in them may run.

        Raises:
            ValueError: they do not fit.
        """

    @property
    @abstractmethod
    def parameters(self) -> int:
        """Number of learned values; of equally good winners the one with fewer is chosen."""

    def keep(self) -> Callable[[], Files]:
        """What gives the files of the present round later on, after further rounds.

        It is called after each round that is the best so far. Override it where saving takes
        long and an earlier round can be told from the present state, as the first trees of many.
        """
        files = dict(self.save())
        return lambda: files

    def explain(
        self,
        rows: Features,  # noqa: ARG002 - of those that override it
        baseline: Features,  # noqa: ARG002
        codes: npt.NDArray[Any],  # noqa: ARG002
        task: Task,  # noqa: ARG002
    ) -> npt.NDArray[Any]:
        """Split the difference between each row's score and the baseline's among the features.

        The score is the probability of a class, or the value of a regression in its own units.

        Args:
            rows: that are explained.
            baseline: one row.
            codes: of the class whose probability is the score, int64 [rows]; 0 of a regression.
            task: decodes outputs.

        Returns:
            Shares, [rows, numeric columns and then categorical ones].

        Raises:
            ExplainError: it has no explanations.
        """
        name = type(self).__name__
        raise ExplainError(
            f"predictions of {name} cannot be explained: it has no method `explain`",
            remedy=f"Give {name} one (see rayml.models.estimators.estimator), or use /predict",
        )
