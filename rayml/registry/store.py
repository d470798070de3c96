"""The registry: numbered versions of bundles, and aliases that point at them."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rayml.config.components.trust import ONLY_OWN, Trust
from rayml.errors import RegistryError
from rayml.registry.aliases import RESERVED, Aliases, require_still
from rayml.registry.bundle.bundle import read_info
from rayml.registry.bundle.info import BundleInfo
from rayml.registry.bundle.manifest import verify
from rayml.registry.lock import locked
from rayml.registry.release import Release, promote
from rayml.registry.releases import Releases
from rayml.registry.shared import Shared
from rayml.storage.disk import explained, make_folder

CHAMPION = "champion"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Registry:
    """Bundles by model name and version, in a folder `root/<name>/versions/<number>/`.

    Any number of processes may use one registry at a time.

    Args:
        root: folder of the registry; made when the first bundle is registered.
        trust: whose keys must have signed a bundle before anything else of it is read.
    """

    def __init__(self, root: Path, trust: Trust = ONLY_OWN) -> None:
        self.root = root
        self.trust = trust

    @classmethod
    def of_version(
        cls,
        folder: Path,
        trust: Trust = ONLY_OWN,
    ) -> tuple[Registry, str]:
        """The registry that the folder of a version lies in, and the name of its model."""
        model = folder.parent.parent
        return cls(model.parent, trust), model.name

    def register(self, bundle: Path) -> int:
        """Copy a bundle into the registry as the next version of its model.

        Returns:
            The number of the new version, counted from 1.

        Raises:
            BundleError: the bundle is torn or altered.
            RegistryError: its name cannot be that of a folder.
            StorageError: the disk is full or read-only; nothing of the copy stays.
        """
        digest = verify(bundle, self.trust.signers)
        model = self._model(read_info(bundle, self.trust).name)
        versions = model / "versions"
        make_folder(versions)
        with explained(model), tempfile.TemporaryDirectory(dir=model, prefix=".incoming-") as made:
            copy = Path(made) / "bundle"
            shared = Shared(bundle, versions)
            shutil.copytree(bundle, copy, symlinks=True, copy_function=shared.put)
            if verify(copy, self.trust.signers) != digest:
                raise RegistryError(
                    f"{bundle} changed while it was copied",
                    remedy="Register it again once nothing writes to it",
                )
            with locked(model / ".lock"):
                number = max(_numbers(versions), default=0) + 1
                copy.rename(versions / str(number))
        return number

    def names(self) -> list[str]:
        """Names of all models."""
        if not self.root.is_dir():
            return []
        return sorted(path.name for path in self.root.iterdir() if (path / "versions").is_dir())

    def info(self, name: str, version: int) -> BundleInfo:
        """What a version's `bundle.json` says.

        Raises:
            BundleError: the bundle is not signed as it must be, or `bundle.json` cannot be read.
            RegistryError: there is no such version.
        """
        return read_info(self._folder(name, version), self.trust)

    def versions(self, name: str) -> list[int]:
        """Numbers of all versions of a model, oldest first; none of an unknown model."""
        folder = self._model(name) / "versions"
        return sorted(_numbers(folder)) if folder.is_dir() else []

    def aliases(self, name: str) -> dict[str, int]:
        """Aliases of a model with their versions.

        `champion` is read from the release alone, so that the two cannot differ.
        """
        aliases = Aliases(self._model(name)).read()
        champion = self.release(name).champion
        return aliases if champion is None else {**aliases, CHAMPION: champion}

    def release(self, name: str) -> Release:
        """What an endpoint of a model serves now.

        Raises:
            RegistryError: the file of the release is torn, or a newer rayml wrote it.
        """
        folder = self._model(name)
        release = Releases(folder).read()
        if release.revision == 0 and (old := Aliases(folder).read().get(CHAMPION)):
            return replace(release, champion=old)  # of a registry that knew no releases yet
        return release

    def change_release(
        self,
        name: str,
        transition: Callable[[Release], Release],
        *,
        expected: int | None = None,
    ) -> Release:
        """Put the release that follows in force, once every bundle that it adds is verified.

        Args:
            name: of the model.
            transition: pure; gives the next release, or the same one for no change.
            expected: revision that the caller has seen; None takes the present one.

        Raises:
            BundleError: a bundle is torn, altered or half-copied; the message names the file.
            RegistryError: someone else changed the release first, or the transition refuses.
        """
        seen = self.release(name)
        added = set(transition(seen).versions()) - set(seen.versions())
        # Before the lock, which a large bundle would hold for long.
        for version in sorted(added):
            verify(self._folder(name, version), self.trust.signers)

        def verified(release: Release) -> Release:
            if release.revision == 0:
                release = self.release(name)
            following = transition(release)
            for version in set(following.versions()) - set(release.versions()) - added:
                verify(self._folder(name, version), self.trust.signers)
            return following

        return Releases(self._model(name)).change(verified, expected=expected)

    def history(self, name: str) -> list[dict[str, Any]]:
        """All changes of a model's release, the oldest first, each with its reason."""
        return list(Releases(self._model(name)).history())

    def move_alias(self, name: str, alias: str, version: int, *, expected: int | None) -> None:
        """Point an alias at a version, if it still points at `expected` (None: at nothing).

        Raises:
            RegistryError: there is no such version, or someone else moved the alias first.
        """
        self._folder(name, version)
        if alias != CHAMPION:
            Aliases(self._model(name)).move(alias, version, expected=expected)
            return

        def moved(release: Release) -> Release:
            require_still(alias, release.champion, version, expected=expected)
            return promote(release, version, "the alias was moved")

        self.change_release(name, moved)

    def resolve(self, name: str, reference: str | int = CHAMPION) -> Path:
        """Folder of a version, given its number, an alias, or `latest`.

        Raises:
            RegistryError: there is no such model, version or alias.
        """
        versions = self.versions(name)
        if not versions:
            known = f"Its models are {', '.join(self.names())}" if self.names() else ""
            raise RegistryError(
                f"there is no model {name!r} in the registry {self.root}",
                remedy=known or "Register one with `rayml register`",
            )
        text = str(reference)
        if text == RESERVED:
            return self._folder(name, versions[-1])
        if _is_number(text):
            return self._folder(name, int(text))
        aliases = self.aliases(name)
        if text not in aliases:
            if text == CHAMPION:
                latest = versions[-1]
                raise RegistryError(
                    f"model {name!r} has no champion; its versions are {_listed(versions)}",
                    remedy=f"Promote one with `rayml promote {latest} name={name}`, or use one that"
                    f" is not promoted with serve.version={latest}",
                )
            raise RegistryError(
                f"model {name!r} has no version or alias {text!r}",
                remedy=f"Its versions are {_listed(versions)}, its aliases"
                f" {_listed(sorted(aliases)) or 'none'}",
            )
        return self._folder(name, aliases[text])

    def folder(self, name: str) -> Path:
        """Folder of a model, which need not exist.

        Raises:
            RegistryError: the name cannot be that of a folder.
        """
        return self._model(name)

    def _model(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise RegistryError(
                "a model cannot have this name",
                found=name,
                remedy="Use at most 100 letters, digits, '.', '_' and '-', the first a letter or"
                " a digit",
            )
        return self.root / name

    def _folder(self, name: str, version: int) -> Path:
        folder = self._model(name) / "versions" / str(version)
        if not folder.is_dir():
            raise RegistryError(
                f"model {name!r} has no version {version}",
                remedy=f"Its versions are {_listed(self.versions(name)) or 'none'}",
            )
        return folder


def _numbers(versions: Path) -> list[int]:
    return [int(path.name) for path in versions.iterdir() if _is_number(path.name)]


def _listed(names: Sequence[object]) -> str:
    return ", ".join(map(str, names))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
