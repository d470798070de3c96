"""The config as typed settings: what Hydra composes is checked against `Config` as a whole.

The classes are pydantic dataclasses rather than OmegaConf's structured configs, since OmegaConf
stops at the first unknown key or bad type and a user wants all of them at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from rayml.config.components.build import TARGET
from rayml.config.components.trust import SigningSettings, TrustSettings
from rayml.settings.data import PreprocessSettings, SchemaSettings, SplitSettings, TextSettings
from rayml.settings.release import CanarySettings
from rayml.settings.search import ConfirmSettings, SearchSettings
from rayml.settings.serve import ServeSettings
from rayml.settings.train import TrainSettings
from rayml.tasks.table import KnownTask
from rayml.types import ClassLabel, Count, Name, Positive, Size, settings


def _require_target(node: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(node.get(TARGET), str):
        # The only kind of error that pydantic gathers with the others.
        raise ValueError(  # noqa: TRY004
            f"a component has no {TARGET}; add it with the dotted path of a class or function"
        )
    return node


ComponentNode = Annotated[dict[str, Any], AfterValidator(_require_target)]


def _require_models(section: dict[str, Any]) -> dict[str, Any]:
    if "family" not in section:
        return _require_target(section)
    nodes = {name: each for name, each in section.items() if name != "family"}
    for name, node in nodes.items():
        if not isinstance(node, dict) or not isinstance(node.get(TARGET), str):
            raise ValueError(  # noqa: TRY004 - as above
                f"the family {name} is no component; add its {TARGET} with the path of a class"
            )
    if section["family"] not in nodes:
        raise ValueError(
            f"there is no family {section['family']!r}; take one of {', '.join(sorted(nodes))}"
        )
    return section


ModelSection = Annotated[dict[str, Any], AfterValidator(_require_models)]


@settings
class PathSettings:
    """Folders that rayml reads and writes.

    Attributes:
        data: raw files of data sets.
        prepared: store of prepared data sets.
        sweeps: one folder a sweep.
        registry: bundles and aliases.
        endpoints: one folder for the endpoints of a model, with the log of their replicas.
    """

    data: str
    prepared: str
    sweeps: str
    registry: str
    endpoints: str = "runs/endpoints"


@settings
class DataConfig:
    """A dataset: where its rows come from and how they are prepared.

    Attributes:
        name: of the dataset.
        task: what is predicted.
        target: the column that is predicted.
        positive: label of the positive class of a binary task; None takes the last in order.
        source: component node of a `rayml.data.sources.sources.Source`.
        schema: see `SchemaSettings`.
        split: see `SplitSettings`.
        preprocess: see `PreprocessSettings`.
        text: see `TextSettings`.
        bad_rows: `fail` names the first bad rows and stops; `quarantine` writes them to a file.
    """

    name: str
    task: KnownTask
    target: str
    source: ComponentNode
    positive: ClassLabel | None = None
    schema: SchemaSettings = Field(default_factory=SchemaSettings)
    split: SplitSettings = Field(default_factory=SplitSettings)
    preprocess: PreprocessSettings = Field(default_factory=PreprocessSettings)
    text: TextSettings = Field(default_factory=TextSettings)
    bad_rows: Literal["fail", "quarantine"] = "fail"


@settings
class TaskConfig:
    """What is predicted and measured.

    Attributes:
        name: the task.
        metric: name of the metric that the search optimises; None takes RMSE or accuracy, and
            where a class is rare `average_precision` or `auroc`, see
            `rayml.tasks.task.Task.metric_for`.
        metrics: further metrics by name, as component nodes.
    """

    name: KnownTask
    metric: str | None = None
    metrics: dict[str, ComponentNode] = Field(default_factory=dict)


@settings
class RegistryConfig:
    """How a new version enters the registry.

    Attributes:
        promote: `better` makes it champion if it beats a constant answer and is at least as good
            as the champion on the same test rows, `always` without comparison; `never` leaves
            the champion as it is.
        force: promote a version that `better` would not.
        signing: see `SigningSettings`.
    """

    promote: Literal["always", "better", "never"] = "better"
    force: bool = False
    signing: SigningSettings = Field(default_factory=SigningSettings)


@settings
class ServeConfig(ServeSettings):
    """What is served, and how.

    Attributes:
        version: `champion` follows the release of the model; the number of a version, another
            alias or `latest` serves that one alone.
        canary: put beside the champion; see `CanarySettings`.
        shadow: version, alias or `latest` that predicts each request too; its answers are
            compared and not sent.
        follow_timeout_s: seconds in which every replica takes up a change of the release.
    """

    version: str | int = "champion"
    canary: CanarySettings = Field(default_factory=CanarySettings)
    shadow: str | int | None = None
    follow_timeout_s: Positive = 60.0

    @model_validator(mode="after")
    def _follows(self) -> ServeConfig:
        beside = self.canary.version is not None or self.shadow is not None
        if beside and self.version != "champion":
            raise ValueError(
                f"a canary or a shadow is set with version={self.version}, and they run beside"
                " version=champion; remove them, or the version"
            )
        return self


@settings
class ClusterConfig:
    """The Ray cluster that does the work.

    Attributes:
        address: of a running cluster; None starts one on this machine.
        cpus: CPU cores that a local Ray may use; None takes all.
        gpus: GPUs that a local Ray may use; None takes all.
    """

    address: str | None = None
    cpus: Count | None = None
    gpus: Size | None = None


@settings
class AutoSettings:
    """What `space=auto` chose; empty until the data are known.

    Attributes:
        overrides: of the config, in Hydra's grammar.
        reasons: a line for each decision.
    """

    overrides: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


@settings
class Config:
    """Everything that one run of rayml does.

    Attributes:
        name: of the model in the registry.
        seed: of the split, the sampler and every trial.
        paths: folders.
        data: the dataset.
        model: component node of a `torch.nn.Module`.
        task: what is predicted and measured.
        train: how a trial is trained.
        space: what is searched: a tree that mirrors the config, its leaves typed ranges.
        search: how a sweep searches.
        registry: how versions are registered.
        serve: how a version is served.
        cluster: the Ray cluster.
        confirm: how its winner is confirmed.
        trust: whose code stored files may name, see `TrustSettings`.
        auto: what `space=auto` chose; None where the config names a space.
    """

    name: Name
    seed: int
    paths: PathSettings
    data: DataConfig
    model: ModelSection
    task: TaskConfig
    train: TrainSettings
    space: Mapping[str, Any]
    search: SearchSettings
    registry: RegistryConfig
    serve: ServeConfig
    cluster: ClusterConfig
    confirm: ConfirmSettings = Field(default_factory=ConfirmSettings)
    trust: TrustSettings = Field(default_factory=TrustSettings)
    auto: AutoSettings | None = None
