"""What every stage of the pipeline takes: the config, Ray, and a stopwatch."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from rayml.config.components.build import locate, named_targets
from rayml.config.components.trust import Trust
from rayml.config.compose import Composed
from rayml.config.schema import Config
from rayml.errors import BuildError, InvalidConfigError
from rayml.serve.supervise.supervised import connected
from rayml.so_far import SoFar, command
from rayml.stages.checks.new_sweep import new_sweep_problems
from rayml.stages.checks.preflight import component_problems, config_problems, names_users_code
from rayml.stages.commands import show
from rayml.stages.commands.sweep_folder import config_of_sweep
from rayml.stages.commands.trusting import trust_of
from rayml.timing import Stopwatch

# Tune imports them when it takes a callback, and with them each tracker that is installed.
_TRACKERS = tuple(f"ray.air.integrations.{each}" for each in ("comet", "mlflow", "wandb"))


class Checking:
    """The check of a config's components.

    Importing a user's code may take seconds of PyTorch, so a worker does it while the driver
    prepares.

    Args:
        plain: the config in plain containers.
    """

    def __init__(self, plain: Mapping[str, Any]) -> None:
        import ray

        self._found: list[str] = []
        self._pending: Any = None
        if names_users_code(plain):
            self._pending = ray.remote(num_cpus=0)(component_problems).remote(plain)
        else:
            self._found = component_problems(plain)

    def problems(self) -> list[str]:
        """The problems of the components; waits for the answer."""
        import ray

        if self._pending is not None:
            self._found, self._pending = ray.get(self._pending), None
        return self._found

    def require(self) -> None:
        """Wait for the check.

        Raises:
            InvalidConfigError: the components have problems; all are reported.
        """
        problems = self.problems()
        if problems:
            raise InvalidConfigError(problems)


@dataclass(frozen=True)
class Context:
    """What every stage takes.

    Attributes:
        composed: the config.
        import_paths: folders of the user's code.
        watch: counts the seconds of each stage.
        resumed: folder of the sweep that continues; None for a new one.
        extended: whether that sweep gets a new config.
        so_far: what is finished, for a user whose command fails.
        words: of the command line, which a command that continues this one may share.
        project_folders: beside the user's config folders; their code is trusted.
        overrides: of the command line.
        config_dirs: the user's own folders of config groups.
    """

    composed: Composed
    import_paths: list[str] = field(default_factory=list)
    watch: Stopwatch = field(default_factory=Stopwatch)
    resumed: Path | None = None
    extended: bool = False
    so_far: SoFar = field(default_factory=SoFar)
    words: tuple[str, ...] = ()
    project_folders: list[str] = field(default_factory=list)
    overrides: tuple[str, ...] = ()
    config_dirs: tuple[Path, ...] = ()

    def command(self, verb: str, *first: str, about: Sequence[str] = ()) -> str:
        """A command that continues this one; see `rayml.so_far.command`."""
        return command(verb, *first, words=self.words, about=("paths", *about))

    def named_as(self, sweep: Path) -> Context:
        """The same context with the model name of a stored sweep, unless the command gives one.

        Raises:
            ConfigError: the sweep's config cannot be read.
        """
        given = {word.lstrip("+~").partition("=")[0] for word in self.words}
        name = config_of_sweep(sweep).plain.get("name")
        if name is None or given & {"name", "data.name"}:
            return self
        plain = {**self.composed.plain, "name": name}
        return replace(self, composed=replace(self.composed, plain=plain))

    @cached_property
    def config(self) -> Config:
        """The typed config.

        Raises:
            InvalidConfigError: it has problems; all are reported.
        """
        return self.composed.typed()

    @cached_property
    def trust(self) -> Trust:
        """Whose code stored files may name, and whose signatures bundles need.

        Raises:
            ConfigError: the config has problems, or a key cannot be read.
        """
        # The config of a sweep that continues comes from a file.
        written = () if self.resumed else named_targets(self.composed.plain)
        return trust_of(
            self.config.trust,
            self.config.registry.signing,
            folders=self.project_folders,
            stores=asdict(self.config.paths).values(),
            written=written,
        )

    def require_signing(self) -> None:
        """Check that the keys that sign and verify can be read, before anything is spent.

        Raises:
            ConfigError: one cannot.
        """
        if self.composed.problems:
            return  # reported with the others
        signing = self.config.registry.signing
        if signing.private_key is not None or signing.public_keys:
            from rayml.registry.bundle.signing import signing_key

            signing_key(signing)
            assert self.trust is not None

    @contextmanager
    def cluster(self) -> Iterator[None]:
        """Ray, for as long as the context lasts."""
        cluster = self.config.cluster
        connection = connected(
            cluster.address,
            cpus=cluster.cpus,
            gpus=cluster.gpus,
            import_paths=self.import_paths,
            tell=show.line,
        )
        with self.watch.stage("start Ray"):
            connection.__enter__()
        try:
            yield
        finally:
            with self.watch.stage("stop Ray"):
                connection.__exit__(None, None, None)

    @contextmanager
    def checked_cluster(self) -> Iterator[Checking]:
        """Ray for a search, and the check of the code that the config names.

        Raises:
            InvalidConfigError: the config has problems that show without its code.
        """
        source = self.config.data.source["_target_"]
        problems = config_problems(self.composed, again=self.resumed is not None)
        if not problems and self.resumed is None:
            problems = new_sweep_problems(self.config)
        if problems:
            raise InvalidConfigError(problems)
        # Ray's start waits for its processes most of the time.
        threading.Thread(target=_preload, args=(source,)).start()
        with self.cluster():
            yield Checking(self.composed.plain)


def _preload(source: str) -> None:
    """Import the modules that preparing needs, then those of a sweep."""
    import ray.data  # noqa: F401 - for its effect on the module cache

    try:
        locate(source)
    except BuildError:
        return  # `component_problems` reports it
    for module in ("rayml.search.sweep", *_TRACKERS):
        importlib.import_module(module)
