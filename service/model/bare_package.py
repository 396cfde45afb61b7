"""Imports parts of a package without the package's own `__init__.py`. Knows no package."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec, module_from_spec


@contextmanager
def bare_package(name: str) -> Iterator[None]:
    """Import modules of the package `name` inside the block, without running its `__init__.py`.

    Afterwards those modules stay imported, and `import name` imports the package as usual. Does nothing if the package
    is imported already. No other thread may import the package meanwhile.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    if name in sys.modules:
        yield
        return
    spec = find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"No package named {name!r}", name=name)
    sys.modules[name] = module_from_spec(spec)  # not executed
    try:
        yield
    finally:
        # Without its packages in `sys.modules`, a later import of any other part runs `__init__.py` first.
        for key, module in list(sys.modules.items()):
            if (key == name or key.startswith(f"{name}.")) and hasattr(module, "__path__"):
                del sys.modules[key]
