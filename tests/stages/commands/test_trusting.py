"""What commands trust: what the user wrote in them, never what a file of a run says."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from rayml.cli import main
from rayml.config.components.build import named_targets
from rayml.config.components.trust import SigningSettings, TrustSettings
from rayml.config.compose import compose
from rayml.errors import ConfigError
from rayml.registry.bundle.manifest import MANIFEST
from rayml.registry.bundle.signing import read_private_key, sign
from rayml.registry.store import Registry
from rayml.stages.commands.trusting import trust_of
from rayml.stages.context import Context
from rayml.testing.bundles import untrained_bundle

NETS = """
from pathlib import Path
from torch import nn

Path({marker!r}).touch()

class Net(nn.Module):
    def __init__(self, shape, outputs, width: int = 4):
        super().__init__()
        self.layer = nn.Linear(shape.numeric, outputs)

    def forward(self, numeric, categorical):
        return self.layer(numeric)
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's project beside the folder in which commands run."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    for folder in (project / "conf" / "model", project / "own", elsewhere):
        folder.mkdir(parents=True)
    (project / "own" / "__init__.py").write_text("")
    (project / "own" / "nets.py").write_text(NETS.format(marker=str(tmp_path / "imported")))
    (project / "conf" / "model" / "own.yaml").write_text("_target_: own.nets.Net\n")
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(sys, "path", [str(project), *sys.path])
    yield project
    for name in [each for each in sys.modules if each.partition(".")[0] == "own"]:
        del sys.modules[name]


@pytest.fixture
def registry(tmp_path: Path, project: Path) -> Registry:
    """A registry whose only version names the user's model."""
    table = pa.table({"x": [0.0, 1.0, 2.0], "y": ["a", "b", "a"]})
    model = {"_target_": "own.nets.Net"}
    folder = untrained_bundle(
        tmp_path / "bundle", table, target="y", task="binary", name="own", model=model
    )
    registry = Registry(tmp_path / "registry")
    registry.register(folder)
    (tmp_path / "imported").unlink()
    for name in [each for each in sys.modules if each.partition(".")[0] == "own"]:
        del sys.modules[name]
    (tmp_path / "rows.csv").write_text("x\n1.0\n")
    return registry


def predict(registry: Registry, *words: str) -> int:
    rows = str(registry.root.parent / "rows.csv")
    name = [f"paths.registry={registry.root}", "name=own", "serve.version=1"]
    return main(["predict", rows, *name, *words])


def test_a_bundles_code_runs_only_where_the_operator_says_so(
    registry: Registry, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = registry.root.parent / "imported"
    for words in ([], ["trust.modules=[own.net]"], ["trust.modules=[other]"]):
        assert predict(registry, *words) == 1
        told = capsys.readouterr().err
        assert "'own.nets.Net' as its model, and that code is not trusted" in told
        assert not marker.exists()
    conf = str(project / "conf")
    # A list says all: the project's folder no longer counts.
    assert predict(registry, "--config-dir", conf, "trust.modules=[]") == 1
    assert "trust.modules=[own.nets]" in capsys.readouterr().err
    for words in (
        ["trust.modules=[own.nets]"],
        ["trust.modules=[own]"],
        ["--config-dir", conf],
        ["--config-dir", conf, "model=own", "space=none"],
    ):
        assert predict(registry, *words) == 0, words
        assert json.loads(capsys.readouterr().out)["label"] in {"a", "b"}
    assert marker.exists()


def test_predictions_need_the_signature_that_is_asked_for(
    registry: Registry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = tmp_path / "sign.pem"
    assert main(["keypair", f"registry.signing.private_key={private}"]) == 0
    assert f"registry.signing.public_keys=[{private}.pub]" in capsys.readouterr().out
    assert main(["keypair"]) == 2
    keys = ["trust.modules=[own]", f"registry.signing.public_keys=[{private}.pub]"]
    assert predict(registry, *keys) == 1
    assert "no manifest.sig" in capsys.readouterr().err
    sign(registry.resolve("own", 1) / MANIFEST, read_private_key(private))
    assert predict(registry, *keys) == 0
    for verb in (["release", "status"], ["promote", "1"]):
        assert main([*verb, f"paths.registry={registry.root}", "name=own", *keys]) == 0
    capsys.readouterr()
    assert predict(registry, f"registry.signing.public_keys=[{tmp_path / 'absent'}]") == 2
    assert "the public key" in capsys.readouterr().err


def stored_sweep(folder: Path, words: list[str], **changes: object) -> Path:
    plain = yaml.safe_load(compose(words).yaml()) | changes
    sweep = folder / "sweeps" / "old"
    shutil.rmtree(sweep, ignore_errors=True)
    sweep.mkdir(parents=True)
    (sweep / "config.yaml").write_text(yaml.safe_dump(plain))
    return sweep


VERBS = (["sweep", "resume=old"], ["sweep", "extend=old", "search.trials=+3"])


@pytest.mark.parametrize("verb", VERBS, ids=["resume", "extend"])
def test_a_sweep_that_goes_on_trusts_the_command_not_its_own_file(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    words = ["data=wine", "space=none"]
    trust = {"modules": ["own", "os"]}
    sweep = stored_sweep(tmp_path, words, model={"_target_": "own.nets.Net"}, trust=trust)
    paths = f"paths.sweeps={sweep.parent}"
    assert main([*verb, paths]) == 2
    told = capsys.readouterr().err
    assert "model: a file names 'own.nets.Net' as its model, and that code is not trusted" in told
    assert "trust.modules=[own.nets]" in told
    assert not (tmp_path / "imported").exists()
    for allowed in (["trust.modules=[own.nets]"], ["--config-dir", str(project / "conf")]):
        assert main([*verb, paths, *allowed, "--cfg", "job"]) == 0
        assert yaml.safe_load(capsys.readouterr().out)["trust"]["modules"] != trust["modules"]


@pytest.mark.parametrize("verb", VERBS, ids=["resume", "extend"])
def test_a_hostile_config_of_a_sweep_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    node = {"_target_": "os.system", "command": f"touch {tmp_path / 'ran'}"}
    mlp = {"_target_": "rayml.models.nets.mlp.MLP"}
    data = compose(["data=wine"]).plain["data"]
    for changes in (
        {"model": node},
        {"model": {**mlp, "width": node}},
        {"data": {**data, "source": node}},
        {"task": {"name": "multiclass", "metric": None, "metrics": {"m": node}}},
        {"space": {"model": {"_target_": {"type": "categorical", "choices": ["os.system"]}}}},
        {"name": "${oc.env:HOME}"},
    ):
        sweep = stored_sweep(tmp_path, ["data=wine", "space=none"], **changes)
        assert main([*verb, f"paths.sweeps={sweep.parent}"]) == 2
        assert str(sweep / "config.yaml") in capsys.readouterr().err
    bomb = "a: &a [x, x]\n" + "\n".join(f"{k}: &{k} [*a, *a]" for k in "bcd")
    (sweep / "config.yaml").write_text(bomb)
    assert main([*verb, f"paths.sweeps={sweep.parent}"]) == 2
    assert "alias" in capsys.readouterr().err
    assert not (tmp_path / "ran").exists()


def test_the_users_own_words_are_trusted_and_a_stored_configs_are_not(tmp_path: Path) -> None:
    composed = compose(
        [
            "model._target_=own.nets.Net",
            "+task.metrics.gain={_target_: own.Gain}",
            "+space.model._target_={type: categorical, choices: [own.A, own.B]}",
        ]
    )
    written = {"own.nets.Net", "own.Gain", "own.A", "own.B"}
    assert written <= set(named_targets(composed.plain))
    assert written <= Context(composed).trust.targets
    assert Context(composed, resumed=tmp_path).trust.targets == frozenset()


def test_trust_is_of_folders_unless_modules_are_listed() -> None:
    default = trust_of(TrustSettings(), SigningSettings(), folders=["/p"], written=["a.B"])
    assert (default.folders, default.modules) == (("/p",), ())
    assert default.targets == {"a.B"}
    listed = trust_of(TrustSettings(modules=("m",)), SigningSettings(), folders=["/p"])
    assert (listed.folders, listed.modules) == ((), ("m",))
    with pytest.raises(ConfigError, match="public key"):
        trust_of(TrustSettings(), SigningSettings(public_keys=("/absent",)))


def test_code_that_came_with_a_store_is_not_the_projects(project: Path) -> None:
    """A registry or a sweep often lies in the project, where Python finds modules in any folder."""
    sent = project / "runs" / "registry" / "own"
    sent.mkdir(parents=True)
    for name in ("evil.py", "__init__.py"):
        (sent / name).write_text("class Net: ...\n")
    stores = [project / "runs" / "registry", Path("absent"), project]
    try:
        for trusted in (False, True):
            trust = trust_of(
                TrustSettings(),
                SigningSettings(),
                folders=[str(project)],
                stores=[] if trusted else map(str, stores),
            )
            assert trust.allows("own.nets.Net")
            assert trust.allows("runs.registry.own.evil.Net") == trusted
            assert trust.allows("runs.registry.own.Net") == trusted
    finally:
        for name in [each for each in sys.modules if each.partition(".")[0] == "runs"]:
            del sys.modules[name]


def test_the_stores_of_a_command_are_those_of_its_paths(tmp_path: Path) -> None:
    composed = compose([f"paths.registry={tmp_path}"])
    assert str(tmp_path) in Context(composed).trust.stores
    assert set(Context(composed).trust.stores) == set(composed.plain["paths"].values())
