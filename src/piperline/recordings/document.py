"""Rules of a layout from the values of JSON that `dataclasses.asdict` made of them.

pydantic, which reads layouts that people write and tells them all that is wrong, takes longer to
load than most datasets take to verify.
"""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin


def of_type(value: object, kind: Any) -> Any:  # noqa: ANN401 - a type, and a value of it
    """`value` as one of `kind`.

    Args:
        value: of JSON.
        kind: a plain type, a dataclass, or a literal, union, tuple or mapping of such.

    Raises:
        ValueError: it is none.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if is_dataclass(kind):
        return _instance(value, kind)
    if origin in {Union, UnionType}:
        return _any_of(value, parts)
    if origin is tuple:
        return _tuple(value, parts)
    if origin is Mapping:
        return _mapping(value, *parts)
    return _plain(value, kind, parts if origin is Literal else ())


def _plain(value: object, kind: Any, among: tuple[object, ...]) -> object:  # noqa: ANN401 - a type
    if kind is float and type(value) is int:
        return float(value)
    fits = any(_same(value, one) for one in among) or type(value) is kind
    _need(fits, value, kind)
    return value


def _same(value: object, part: object) -> bool:
    return type(value) is type(part) and value == part


def _need(holds: object, value: object, kind: object) -> None:
    if not holds:
        name = getattr(kind, "__name__", kind)
        raise ValueError(f"{value!r} is no {name}")


def _instance(value: object, kind: Any) -> Any:  # noqa: ANN401 - a dataclass, and one
    _need(isinstance(value, dict), value, kind)
    values = dict(value) if isinstance(value, dict) else {}
    known = {field.name: field.type for field in fields(kind)}
    _need(values.keys() <= known.keys(), value, kind)
    typed = {name: of_type(one, known[name]) for name, one in values.items()}
    try:
        return kind(**typed)
    except TypeError as error:  # something is missing
        raise ValueError(str(error)) from error


def _any_of(value: object, kinds: tuple[Any, ...]) -> Any:  # noqa: ANN401 - of one of them
    if value is None:
        _need(NoneType in kinds, value, "value")
        return None
    problem = ValueError("no value")
    for kind in kinds:
        try:
            return of_type(value, kind)
        except ValueError as error:
            problem = error
    raise problem


def _tuple(value: object, parts: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{value!r} is no list")  # noqa: TRY004 - as all that is wrong here
    kinds = parts
    if parts[-1] is Ellipsis:
        kinds = parts[:1] * len(value)
    _need(len(kinds) == len(value), value, f"list of {len(kinds)}")
    return tuple(map(of_type, value, kinds))


def _mapping(value: object, name: Any, kind: Any) -> dict[Any, Any]:  # noqa: ANN401 - types
    if not isinstance(value, dict):
        raise ValueError(f"{value!r} is no object")  # noqa: TRY004 - as all that is wrong here
    return {
        of_type(key, name): of_type(one, kind) for key, one in value.items()
    }
