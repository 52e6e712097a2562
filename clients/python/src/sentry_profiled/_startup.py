"""What the `.pth` file runs when `SENTRY_PROFILED` is set: installs as soon as the program has imported sentry-sdk.

It does not import sentry-sdk itself, which costs 100 ms and more, and which many a program that inherits the variable
never does.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Optional, Sequence

_WAITED_FOR = "sentry_sdk"


def arrange() -> None:
    """Installs now if sentry-sdk is imported already, else right after it is."""
    if _WAITED_FOR in sys.modules:
        _install()
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def _install() -> None:
    from sentry_profiled import install

    install()


class _Finder:
    """Finds nothing itself: it lets the others find sentry-sdk, and puts `_Loader` around the loader that they chose."""

    def __init__(self) -> None:
        self._searching = False

    def find_spec(self, name: str, path: Optional[Sequence[Any]] = None, target: Optional[ModuleType] = None) -> Optional[ModuleSpec]:
        if name != _WAITED_FOR or self._searching:
            return None
        self._searching = True
        try:
            for finder in list(sys.meta_path):
                find_spec = getattr(finder, "find_spec", None)
                if finder is self or find_spec is None:
                    continue
                spec: Optional[ModuleSpec] = find_spec(name, path, target)
                if spec is not None:
                    if hasattr(spec.loader, "exec_module"):
                        spec.loader = _Loader(spec.loader, self)  # type: ignore[assignment]
                    return spec
            return None
        finally:
            self._searching = False


class _Loader:
    """Loads as the loader that it stands for, then installs and steps aside."""

    def __init__(self, loader: Any, finder: _Finder) -> None:
        self._loader = loader
        self._finder = finder

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        module: Optional[ModuleType] = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        # Whoever looks at the module later (pkgutil, importlib.resources, inspect) is to see its own loader.
        spec = module.__spec__
        if spec is not None:
            spec.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        if self._finder in sys.meta_path:
            sys.meta_path.remove(self._finder)
        _install()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)
