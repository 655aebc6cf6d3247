"""Recordings -> staged episodes -> a dataset, on one machine."""

import sys
from types import ModuleType
from typing import Any


class _Room(ModuleType):
    """`piperline.convert(...)` is the function, and this package hides it once it is imported."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - passed on
        from piperline.convert.run import convert  # noqa: PLC0415 - heavy

        return convert(*arguments, **options)


sys.modules[__name__].__class__ = _Room
