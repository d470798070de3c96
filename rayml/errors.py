"""One exception tree: each error says what is wrong, what was found, and what to do.

RaymlError
├── ConfigError          bad usage or configuration, exit code 2
│   ├── InvalidConfigError  several of them, reported together
│   ├── BuildError       a `_target_` that does not import, or whose arguments do not bind
│   └── SpaceError       a search space that cannot be searched
├── DataError            a source, a schema, a split or rows that cannot be used
│   ├── SourceError      the source cannot be read
│   ├── SchemaError      columns and schema disagree
│   └── BadRowsError     rows that break the schema, under the policy `fail`
├── TrainError           a trial that cannot go on
│   ├── DivergedError    the loss or the metric is no longer finite
│   └── CheckpointError  a checkpoint that is absent, torn or of another trial
├── SearchError          a sweep that cannot start or go on
├── BundleError          a bundle that is torn, altered or too new
├── RegistryError        a version or an alias that does not exist, or a lost race
├── StorageError         a file that the disk does not take
├── ExplainError         a model whose predictions cannot be explained
├── ClusterError         Ray, which does not start or fails while a command runs
└── ServeError           an endpoint that cannot start
    └── RequestError     a request that cannot be answered, with its HTTP status
"""

from __future__ import annotations

from collections.abc import Sequence

_ABSENT = object()


class RaymlError(Exception):
    """Base of every error that rayml raises on purpose.

    Its message reads `problem: found. Remedy`, so that a reader can mend the cause without
    reading code.

    Args:
        problem: what is wrong, as a fact: "port 8000 is already in use", never the rule that
            should hold.
        found: the offending value, where the problem does not name it.
        remedy: what to do, as a sentence without its full stop.
    """

    exit_code = 1

    def __init__(self, problem: str, *, found: object = _ABSENT, remedy: str = "") -> None:
        self.problem = problem
        self.found = None if found is _ABSENT else found
        self.remedy = remedy
        value = "" if found is _ABSENT else f": {_shown(found)}"
        then = f". {remedy}" if remedy else ""
        super().__init__(f"{problem}{value}{then}")

    def __reduce__(self) -> tuple[object, ...]:
        # The default would call __init__ with the formatted message as the problem.
        return (_restore, (type(self), self.args, self.__dict__.copy()))


def _restore(
    kind: type[RaymlError], args: tuple[object, ...], state: dict[str, object]
) -> RaymlError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


def _shown(value: object, limit: int = 200) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


class ConfigError(RaymlError):
    """Bad usage or configuration: the user can mend it, nothing was spent."""

    exit_code = 2


class InvalidConfigError(ConfigError):
    """Several configuration errors, reported together.

    `problems` holds one line a problem, each naming its config key.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        head = "1 problem" if count == 1 else f"{count} problems"
        super().__init__("\n".join([f"{head} in the config:", *(f"  {p}" for p in self.problems)]))


class BuildError(ConfigError):
    """A component node whose `_target_` does not import or whose arguments do not bind."""


class SpaceError(ConfigError):
    """A search space that cannot be searched; the message names the key."""


class DataError(RaymlError):
    """Data that cannot be used as configured."""


class SourceError(DataError):
    """A source that cannot be read."""


class SchemaError(DataError):
    """Columns of the data and the schema disagree."""


class BadRowsError(DataError):
    """Rows that break the schema while the policy is `fail`."""


class TrainError(RaymlError):
    """A trial that cannot go on."""


class DivergedError(TrainError):
    """The loss or the metric of a trial is no longer finite."""


class CheckpointError(TrainError):
    """A checkpoint that is absent, torn, or belongs to another trial."""


class SearchError(RaymlError):
    """A sweep that cannot start or go on."""


class BundleError(RaymlError):
    """A bundle that is torn, altered, or written by a newer rayml."""


class RegistryError(RaymlError):
    """A version or alias that does not exist, or that someone else changed first."""


class StorageError(RaymlError):
    """A file or folder that cannot be written: the disk is full, read-only or gone."""


class ExplainError(RaymlError):
    """A model whose predictions cannot be explained."""


class ClusterError(RaymlError):
    """Ray does not start, or a part of it fails while a command runs."""


class ServeError(RaymlError):
    """An endpoint that cannot start."""


class RequestError(ServeError):
    """A request that cannot be answered.

    Args:
        status: HTTP status code of the answer (4xx, or 503).
        row: index of the offending row in the request, counted from 0.
        column: name of the offending column.
        headers: further headers of the answer, as ASGI has them.
    """

    def __init__(
        self,
        problem: str,
        *,
        status: int,
        found: object = _ABSENT,
        remedy: str = "",
        row: int | None = None,
        column: str | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(problem, found=found, remedy=remedy)
        self.status = status
        self.headers = headers
        self.row = row
        self.column = column
