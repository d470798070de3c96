"""The command line: `rayml <verb> [name] [key=value …]`.

Each verb composes a config and calls one function of the pipeline. Exit codes: 0 done, 1 failed,
2 bad usage or config, 130 interrupted, 141 the reader of the output has gone, 143 ended by SIGTERM.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rayml import __version__, pipeline
from rayml.cluster.connection import log_folder
from rayml.cluster.ray_failures import explained
from rayml.config.compose import Composed, add_import_paths, compose, groups, project_folders
from rayml.errors import ConfigError, RaymlError
from rayml.interrupts import INTERRUPTED, TERMINATED, TerminatedError, answering
from rayml.serve.supervise.front import run_supervised
from rayml.serve.supervise.supervised import possible
from rayml.so_far import SoFar
from rayml.stages.auto.implied import implied
from rayml.stages.context import Context
from rayml.storage.disk import disk_refusal
from rayml.storage.temporary import swept
from rayml.timing import Stopwatch


@dataclass(frozen=True)
class Verb:
    """One stage of the flow as a command.

    Attributes:
        action: function of the pipeline; takes the context, and the argument if there is one.
        help: one line.
        argument: name of the verb's own argument; None if it takes none.
        epilog: further text of its help.
        supervised: whether its driver is started again after it is killed.
    """

    action: Callable[..., None]
    help: str
    argument: str | None = None
    epilog: str = ""
    supervised: bool = False


_SWEEP_EPILOG = """\
continue a sweep, by its name:
  rayml sweep resume=NAME               after a crash or Ctrl-C: unfinished trials continue from
                                        their checkpoints; it may run elsewhere (cluster.*,
                                        search.concurrency=…, search.resources.*)
  rayml sweep extend=NAME search.trials=+100
                                        100 more trials; the space may change (space.*=…),
                                        and how it is searched (search.*=…)
start from other sweeps over overlapping spaces:
  rayml sweep search.warm_start=[NAME,…]
keep the study in a shared database as well:
  rayml sweep search.storage=postgresql://user:password@host/database
"""

_KEY_EPILOG = """\
  rayml key NAME serve.keys.file=PATH              prints the key; the file keeps its hash only
  rayml key NAME:predict,feedback serve.keys.file=PATH
                                                   scopes: predict, feedback (labels), admin
To revoke a key, remove its line. An endpoint reads a changed file within a second.
"""

_RELEASE_EPILOG = """\
show what is served, by which replicas, and why (the default):
  rayml release status
let version 4 answer a tenth of the requests, or all requests of every tenth user:
  rayml release canary serve.canary.version=4 serve.canary.weight=0.1
  rayml release canary serve.canary.version=4 serve.canary.key=header:x-user
end the canary:
  rayml release canary
start a shadow: version 5 predicts each request too, and its answers are not sent; end it:
  rayml release shadow serve.shadow=5
  rayml release shadow
"""

VERBS = {
    "run": Verb(pipeline.run, "prepare, sweep, confirm, register and serve"),
    "check": Verb(pipeline.check, "find every error of a config before anything is spent"),
    "prepare": Verb(pipeline.prepare, "fit the preprocessing and store the prepared data set"),
    "sweep": Verb(pipeline.sweep, "search the space, and confirm the winner", epilog=_SWEEP_EPILOG),
    "confirm": Verb(pipeline.confirm, "train a sweep's best trials again over seeds", "SWEEP"),
    "report": Verb(
        pipeline.report, "print a sweep's leaderboard, write its page and tables", "SWEEP"
    ),
    "register": Verb(pipeline.register, "make the winner of a sweep a version", "SWEEP"),
    "promote": Verb(pipeline.promote, "make a version champion, in running endpoints", "VERSION"),
    "rollback": Verb(pipeline.rollback, "make the previous version champion again"),
    "release": Verb(
        pipeline.release,
        "show what is served, start or end a canary or a shadow",
        "ACTION",
        epilog=_RELEASE_EPILOG,
    ),
    "serve": Verb(
        pipeline.serve, "answer requests with a registered version", "VERSION", supervised=True
    ),
    "status": Verb(pipeline.status, "list the endpoints that run on this machine"),
    "down": Verb(pipeline.down, "end an endpoint that runs on this machine", "PORT"),
    "key": Verb(pipeline.key, "make an API key for an endpoint", "NAME", epilog=_KEY_EPILOG),
    "keypair": Verb(pipeline.keypair, "make the key files that sign bundles"),
    "predict": Verb(pipeline.predict, "predict the rows of a file, without a server", "FILE"),
    "explain": Verb(pipeline.explain, "explain the predictions for a file's rows", "FILE"),
}

_EPILOG = """\
Overrides follow Hydra's grammar: data=adult train.epochs=5 '+model.extra=1' '~experiment'.
`rayml <verb> --cfg job` prints the composed config; `rayml <verb> --help` lists the groups.
"""


@dataclass(frozen=True)
class Invocation:
    """A parsed command line."""

    verb: str
    argument: str | None
    overrides: tuple[str, ...]
    resume: str | None
    extend: str | None
    config_dirs: tuple[Path, ...]
    show_config: bool


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    started = time.perf_counter()
    # The interpreter collects garbage once more when it ends, which takes a second.
    atexit.register(gc.freeze)
    so_far = SoFar()
    with answering(lambda: so_far.words):
        try:
            arguments = sys.argv[1:] if argv is None else argv
            invocation = parse(arguments)
            if VERBS[invocation.verb].supervised and not invocation.show_config and possible():
                return run_supervised(arguments)
            with swept():
                return _execute(invocation, started, so_far)
        except KeyboardInterrupt as signalled:
            return TERMINATED if isinstance(signalled, TerminatedError) else INTERRUPTED
        except Exception as error:
            shown = explained(error, log_folder()) or disk_refusal(error) or error
            if not isinstance(shown, RaymlError):
                raise
            print(f"rayml: {shown}", file=sys.stderr)
            if so_far.words:
                print(f"rayml: {so_far.words}", file=sys.stderr)
            return shown.exit_code


def parse(argv: Sequence[str]) -> Invocation:
    """Read the command line.

    Raises:
        ConfigError: an argument is one that the verb does not take.
        SystemExit: with 0 for `--help` and `--version`, with 2 for bad usage.
    """
    name = _parser().parse_args(argv[:1] or ["--help"]).verb
    arguments = _verb_parser(name).parse_intermixed_args(argv[1:])
    names = [word for word in arguments.words if not _is_override(word)]
    expected = VERBS[name].argument
    if len(names) > (1 if expected else 0):
        most = f"one {expected}" if expected else "no argument"
        raise ConfigError(
            f"the command gives `{' '.join(names)}`, and `rayml {name}` takes {most}",
            remedy="Write settings as key=value",
        )
    overrides = [word for word in arguments.words if _is_override(word)]
    resume, extend = (_take(name, overrides, each) for each in ("resume", "extend"))
    if resume and extend:
        raise ConfigError(
            f"the command has both resume={resume} and extend={extend}", remedy="Give one of them"
        )
    return Invocation(
        verb=name,
        argument=names[0] if names else None,
        overrides=tuple(overrides),
        resume=resume,
        extend=extend,
        config_dirs=tuple(arguments.config_dir),
        show_config=arguments.cfg is not None,
    )


def _is_override(word: str) -> bool:
    return "=" in word or word.startswith("~")


def _take(verb: str, overrides: list[str], key: str) -> str | None:
    """Take `key=NAME` of the sweep verb out of the overrides."""
    found = [word for word in overrides if verb == "sweep" and word.startswith(f"{key}=")]
    for word in found:
        overrides.remove(word)
    names = [word.partition("=")[2] for word in found]
    if len(names) > 1 or "" in names:
        what = "several sweeps" if len(names) > 1 else "no sweep"
        raise ConfigError(
            f"the command names {what} ({' '.join(found)})",
            remedy=f"Use `rayml sweep {key}=NAME` with one name",
        )
    return names[0] if names else None


def _parser() -> argparse.ArgumentParser:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {name:<{width}}  {verb.help}" for name, verb in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="rayml",
        usage="rayml VERB [argument] [key=value …] [--config-dir DIR] [--cfg job] [--help]",
        description=f"From a table to a tuned, explained, autoscaling endpoint.\n\nverbs:\n{verbs}",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rayml {__version__}")
    parser.add_argument("verb", choices=VERBS, metavar="VERB", help="one of the above")
    return parser


def _verb_parser(name: str) -> argparse.ArgumentParser:
    verb = VERBS[name]
    argument = f"[{verb.argument}] " if verb.argument else ""
    parser = argparse.ArgumentParser(
        prog=f"rayml {name}",
        usage=f"rayml {name} {argument}[key=value …] [--config-dir DIR] [--cfg job]",
        description=f"{verb.help[0].upper()}{verb.help[1:]}.",
        epilog=verb.epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument("words", nargs="*", metavar="key=value", help="override of the config")
    parser.add_argument("--help", "-h", action=_Help, nargs=0, help="show this and the groups")
    parser.add_argument("--cfg", "-c", choices=["job"], help="print the composed config and stop")
    parser.add_argument(
        "--config-dir",
        "-cd",
        type=Path,
        action="append",
        default=[],
        help="a folder of your own config groups; may be repeated",
    )
    return parser


class _Help(argparse.Action):
    """Prints a verb's help with the config groups, those of `--config-dir` included."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,  # noqa: ARG002 -- argparse passes it
        option_string: str | None = None,  # noqa: ARG002 -- argparse passes it
    ) -> None:
        parser.print_help()
        print("\nconfig groups (choose with group=option):")
        for group, options in groups(namespace.config_dir).items():
            print(f"  {group}: {', '.join(options)}")
        parser.exit()


def _execute(invocation: Invocation, started: float, so_far: SoFar) -> int:
    meant = implied(invocation.verb, invocation.overrides)
    invocation = replace(invocation, overrides=(*meant, *invocation.overrides))
    composed, resumed = _compose(invocation)
    if invocation.show_config:
        print(composed.yaml(), end="")
        return _problems(composed)
    context = Context(
        composed=composed,
        import_paths=add_import_paths(invocation.config_dirs),
        project_folders=project_folders(invocation.config_dirs),
        watch=Stopwatch(started),
        resumed=resumed,
        extended=invocation.extend is not None,
        so_far=so_far,
        words=_words(invocation),
        overrides=invocation.overrides,
        config_dirs=invocation.config_dirs,
    )
    verb = VERBS[invocation.verb]
    arguments = (invocation.argument,) if verb.argument else ()
    verb.action(context, *arguments)
    return 0


def _words(invocation: Invocation) -> tuple[str, ...]:
    """The words that a command which continues this one needs again."""
    folders = (word for each in invocation.config_dirs for word in ("--config-dir", str(each)))
    return (*folders, *invocation.overrides)


def _compose(invocation: Invocation) -> tuple[Composed, Path | None]:
    """The config, and the folder of the sweep that continues with it."""
    if not (name := invocation.resume or invocation.extend):
        return compose(invocation.overrides, invocation.config_dirs), None
    from rayml.stages import resume
    from rayml.stages.commands.trusting import trust_of

    add_import_paths(invocation.config_dirs)
    # The sweep's file decides neither where it lies nor whose code it may name.
    own = [each for each in invocation.overrides if each.startswith(("paths.", "trust."))]
    base = compose(own, invocation.config_dirs)
    config = base.typed()
    folders = project_folders(invocation.config_dirs)
    stores = asdict(config.paths).values()
    trust = trust_of(config.trust, config.registry.signing, folders=folders, stores=stores)
    folder, stored = resume.find_stored(config.paths.sweeps, name, trust)
    if not invocation.show_config:
        resume.mend_journal(folder)
    change = resume.resumed_config if invocation.resume else resume.extended_config
    others = [each for each in invocation.overrides if not each.startswith("trust.")]
    composed = change(stored, folder, others, invocation.config_dirs)
    composed.plain["trust"] = base.plain["trust"]
    if invocation.extend and not invocation.show_config:
        resume.require_more(folder, composed)
    return composed, folder


def _problems(composed: Composed) -> int:
    for problem in composed.problems:
        print(f"rayml: {problem}", file=sys.stderr)
    return 2 if composed.problems else 0
