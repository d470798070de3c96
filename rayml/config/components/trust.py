"""Whose code the files that a process reads may name, and whose signatures they need."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field

from rayml.types import settings

ModuleName = Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")]


@settings
class TrustSettings:
    """Whose code a stored or sent file may name, besides rayml's own components.

    Attributes:
        modules: Python modules, each with those below it; None takes the modules in the folders
            beside those of `--config-dir`.
    """

    modules: tuple[ModuleName, ...] | None = None


@settings
class SigningSettings:
    """Signatures of bundles (ed25519), made and checked with key files of `rayml keypair`.

    Attributes:
        private_key: file that signs each bundle that is registered; None signs none.
        public_keys: key files; one of the keys must have signed each bundle that is read. An
            empty list asks for no signature.
    """

    private_key: str | None = None
    public_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trust:
    """The components of files that may be built, and the signatures that bundles need.

    The default trusts rayml's own components alone, and asks for no signature.

    Attributes:
        modules: trusted with the modules below them, wherever they are imported from.
        folders: of a project each; the modules that are imported from there are trusted.
        stores: folders of bundles, sweeps and data, whose files come from others; a project's
            modules below one of them are not trusted.
        targets: components that the user named in this very command.
        signers: raw public keys; one of them must have signed a bundle. None asks for nothing.
    """

    modules: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    targets: frozenset[str] = frozenset()
    signers: tuple[bytes, ...] = ()

    def allows(self, target: str) -> bool:
        """Whether the code of a component may be imported; this imports nothing."""
        module, _, name = target.rpartition(".")
        parts = module.split(".")
        if not name.isidentifier() or not all(part.isidentifier() for part in parts):
            return False
        return (
            target in self.targets
            or any(module == each or module.startswith(f"{each}.") for each in self.modules)
            or any(_lies_in(Path(folder), parts, self.stores) for folder in self.folders)
        )

    def remedy(self, target: str) -> str:
        """How to trust a component, as a command takes it."""
        module = target.rpartition(".")[0]
        listed = ",".join([*self.modules, module])
        if not module or not all(part.isidentifier() for part in module.split(".")):
            return "Do not use the file"
        return f"If you know that code, add trust.modules=[{listed}], or its project's --config-dir"


ONLY_OWN = Trust()
"""Trusts rayml's own components alone, and asks for no signature."""


def _lies_in(folder: Path, parts: list[str], stores: Iterable[str]) -> bool:
    """Whether importing a module would take it from a folder, and not from a store below that."""
    file = folder.joinpath(*parts)
    try:
        if not file.with_suffix(".py").is_file() and not (file / "__init__.py").is_file():
            return False
        below = [each for each in map(_resolved, stores) if _resolved(folder) in each.parents]
        if any(each in (_resolved(file) / "_").parents for each in below):
            return False
    except OSError:  # the name is too long for a file
        return False
    # Another package of that name may come first on the path. Finding a top module runs nothing,
    # and the modules below it are found in its own folder.
    try:
        spec = importlib.util.find_spec(parts[0])
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    places: Iterable[str] = spec.submodule_search_locations or [spec.origin or ""]
    roots = {folder / parts[0], folder / f"{parts[0]}.py"}
    return all(Path(place) in roots for place in places)


def _resolved(path: str | Path) -> Path:
    return Path(path).expanduser().resolve()
