"""`print` in a replica writes to standard output, which becomes records of the replica's log."""

from __future__ import annotations

import builtins

from rayml.serve.rayserve.private_names import Private


def restore_print() -> None:
    """Put back Python's own `print`, which Serve replaces by one that ignores `sys.stdout`.

    Raises:
        ServeError: this Ray keeps the function under another name.
    """
    builtins.print = Private.PRINT.find()
