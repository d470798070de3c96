"""What a process believes of files that it did not write: whose code runs, whose word counts."""

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
        modules: Python modules, each with those below it; None takes the modules that lie in the
            folders beside those of `--config-dir`.
    """

    modules: tuple[ModuleName, ...] | None = None


@settings
class SigningSettings:
    """Signatures of bundles (ed25519), made and checked with key files of `rayml keypair`.

    Attributes:
        private_key: file that signs each bundle that is registered; None signs none.
        public_keys: files of keys of which one must have signed whatever bundle is read; none
            asks for no signature.
    """

    private_key: str | None = None
    public_keys: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trust:
    """What may be built of what files name, and which signatures they need.

    The default trusts rayml's own components alone, and asks for no signature.

    Attributes:
        modules: trusted with the modules below them, wherever they are imported from.
        folders: of a project each; the modules that are imported from there are trusted.
        stores: folders of bundles, sweeps and data, whose files come from others; of a project's
            modules those that lie below one of them are not trusted.
        targets: components that the user named in this very command.
        signers: raw public keys; one of them must have signed a bundle. None asks for nothing.
    """

    modules: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    targets: frozenset[str] = frozenset()
    signers: tuple[bytes, ...] = ()

    def allows(self, target: str) -> bool:
        """Whether the code of a component may be imported; nothing is imported to tell."""
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
        """How the operator would trust a component, as it is typed."""
        module = target.rpartition(".")[0]
        listed = ",".join([*self.modules, module])
        if not module or not all(part.isidentifier() for part in module.split(".")):
            return "Do not use the file"
        return f"If you know that code, add trust.modules=[{listed}], or its project's --config-dir"


ONLY_OWN = Trust()
"""Trusts rayml's own components alone, and asks for no signature."""


def _lies_in(folder: Path, parts: list[str], stores: Iterable[str]) -> bool:
    """Whether importing a module would take it from a folder, but from no store below that."""
    file = folder.joinpath(*parts)
    try:
        if not file.with_suffix(".py").is_file() and not (file / "__init__.py").is_file():
            return False
        below = [each for each in map(_resolved, stores) if _resolved(folder) in each.parents]
        if any(each in (_resolved(file) / "_").parents for each in below):
            return False
    except OSError:  # a name may be longer than one of a file
        return False
    # Another package of that name may come first on the path. A top module is found without
    # running anything; what lies below it is found by what it is.
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
