"""What every stage of the pipeline is given: the config, Ray, and a watch."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

from rayml.cluster import connect
from rayml.config.compose import Composed
from rayml.config.schema import Config
from rayml.errors import InvalidConfigError
from rayml.stages.preflight import static_problems
from rayml.timing import Stopwatch


@dataclass(frozen=True)
class Context:
    """What every stage is given.

    Attributes:
        composed: the config.
        import_paths: folders of the user's code.
        watch: counts where the seconds go.
    """

    composed: Composed
    import_paths: list[str] = field(default_factory=list)
    watch: Stopwatch = field(default_factory=Stopwatch)

    @cached_property
    def config(self) -> Config:
        """The typed config.

        Raises:
            InvalidConfigError: all that is wrong with it.
        """
        return self.composed.typed()

    @contextmanager
    def cluster(self) -> Iterator[list[str]]:
        """Ray, for as long as the context lasts, and what `static_problems` finds meanwhile.

        Ray's start waits for other processes most of the time, so the config is checked, and
        the code that it names imported, beside it.
        """
        cluster = self.config.cluster
        connection = connect(
            cluster.address, cpus=cluster.cpus, gpus=cluster.gpus, import_paths=self.import_paths
        )
        with ThreadPoolExecutor(1) as pool:
            problems = pool.submit(static_problems, self.composed)
            with self.watch.stage("start Ray"):
                connection.__enter__()
        try:
            yield problems.result()
        finally:
            with self.watch.stage("stop Ray"):
                connection.__exit__(None, None, None)

    @contextmanager
    def checked_cluster(self) -> Iterator[None]:
        """Ray for a config that is sound as far as can be told before looking at the data.

        Raises:
            InvalidConfigError: all that is wrong with it.
        """
        with self.cluster() as problems:
            if problems:
                raise InvalidConfigError(problems)
            yield
