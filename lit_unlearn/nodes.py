"""A node of a configuration, `{_target_: a.Class, argument: value}`: checked against its class's signature, and built.

`check_node` returns every error of a node, `build` is the only place that instantiates what a configuration names.
"""

import difflib
import importlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, get_type_hints

import hydra
from hydra.errors import InstantiationException
from pydantic import ConfigDict, Field, ValidationError, create_model

from lit_unlearn.errors import UserError

ALLOWED_TARGETS = (
    "lit_unlearn.",
    "datamodules.",
    "lightning.Trainer",
    "lightning.pytorch.callbacks.",
    "lightning.pytorch.loggers.",
    "lightning.pytorch.plugins.",
    "lightning.pytorch.profilers.",
    "lightning.pytorch.strategies.",
    "torch.optim.",
)


def build(node: Mapping[str, Any], **extra: Any) -> Any:
    """Instantiates a checked node; the only caller of Hydra's `instantiate`.

    Args:
        node: a dictionary with `_target_`.
        extra: arguments that a configuration cannot hold, such as objects built before.

    Raises:
        UserError: the node may not be built, or its arguments do not go together.
    """
    refused = [line for path, inner in _targets("", node) for line in target_error(path, inner)]
    if refused:
        raise UserError(refused)
    try:
        return hydra.utils.instantiate(dict(node), _convert_="all", **extra)
    except InstantiationException as error:
        from lightning.pytorch.utilities.exceptions import MisconfigurationException  # --help must not wait for it

        cause = error.__cause__
        if isinstance(cause, UserError):
            raise cause from None
        if isinstance(cause, ValueError | ImportError | MisconfigurationException):  # do not go together, or not here
            raise UserError(f"{node['_target_']}: {' '.join(str(cause).split())}") from error
        raise


def component(node: Mapping[str, Any]) -> str:
    """The name of a method or data node: the file its class lives in."""
    return node["_target_"].split(".")[-2]


def domain(node: Mapping[str, Any]) -> str:
    """The domain of a method or data node: the folder its class lives in."""
    return node["_target_"].removeprefix("lit_unlearn.methods.").removeprefix("datamodules.").split(".")[0]


def arguments_of(cls: type) -> dict[str, tuple[Any, Any]]:
    """Constructor arguments as name -> (annotation, default or `...`), followed along the MRO through **keywords."""
    found: dict[str, tuple[Any, Any]] = {}
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()  # type: ignore[misc]
        hints = get_type_hints(base.__init__, include_extras=True)  # type: ignore[misc]
        for parameter in list(parameters)[1:]:
            if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                default = ... if parameter.default is parameter.empty else parameter.default
                found.setdefault(parameter.name, (hints.get(parameter.name, Any), default))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def imported(target: str) -> Any:
    """What a dotted name stands for."""
    module, _, attribute = target.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def check_node(path: str, node: Mapping[str, Any], offered: tuple[str, ...] | None) -> list[str]:
    """Every error of a node with `_target_` and those inside it; arguments in `offered` may be absent (None: any)."""
    if "_target_" not in node:
        return [f"{path}._target_: missing; choose an option of {path.split('.')[0]} or give the class to build"]
    errors = []
    for inner_path, inner in _targets(path, node):
        refused = target_error(inner_path, inner)
        errors += refused
        if not refused:
            fields = arguments_of(imported(inner["_target_"]))
            absent = fields if offered is None else offered
            fields = {name: (hint, None if name in absent else default) for name, (hint, default) in fields.items()}
            values = {key: value for key, value in inner.items() if not key.startswith("_")}
            nested = {key for key, value in values.items() if any(_targets("", value))}
            fields |= dict.fromkeys(nested & set(fields), (Any, ...))  # checked on its own
            errors += validate(inner_path, imported(inner["_target_"]), fields, values)
    return errors


def _targets(path: str, node: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if isinstance(node, Mapping):
        if "_target_" in node:
            yield path, node
        for key, value in node.items():
            yield from _targets(f"{path}.{key}" if path else str(key), value)
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _targets(f"{path}[{index}]", value)


def target_error(path: str, node: Mapping[str, Any]) -> list[str]:
    target = node["_target_"]
    if not isinstance(target, str) or not target.startswith(ALLOWED_TARGETS):
        return [
            f"{path}._target_={target!r}: may not be built from a configuration; allowed: {', '.join(ALLOWED_TARGETS)}"
        ]
    try:
        found = imported(target)
    except (ImportError, AttributeError) as error:
        return [f"{path}._target_={target!r}: cannot be imported ({error}); check the spelling"]
    return [] if inspect.isclass(found) else [f"{path}._target_={target!r}: not a class; give a class"]


def validate(path: str, owner: type, fields: dict[str, tuple[Any, Any]], values: dict[str, Any]) -> list[str]:
    settings = ConfigDict(extra="forbid", strict=True, arbitrary_types_allowed=True, protected_namespaces=())
    # Fields get neutral names and the real ones as aliases: pydantic reserves some names.
    aliased: dict[str, Any] = {
        f"argument_{i}": (Annotated[hint, Field(alias=name)], default)
        for i, (name, (hint, default)) in enumerate(fields.items())
    }
    try:
        create_model(owner.__name__, __config__=settings, **aliased).model_validate(values)
    except ValidationError as error:
        by_key: dict[str, list[Any]] = {}
        for detail in error.errors():
            by_key.setdefault(str(detail["loc"][0]), []).append(detail)
        return [
            _line(f"{path}.{key}" if path else key, key, details, fields, values) for key, details in by_key.items()
        ]
    return []


def _line(path: str, key: str, details: list[Any], fields: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    kind, value = details[0]["type"], values.get(key)
    if kind == "extra_forbidden":
        return f"{path}={value!r}: no such key{did_you_mean(key, fields)}; allowed: {', '.join(fields)}"
    for inner in details[0]["loc"][1:]:
        if not isinstance(value, Mapping) or (inner not in value and kind != "missing"):
            break
        path, value = f"{path}.{inner}", value.get(inner)
    if kind == "missing":
        return f"{path}: missing; give {path}=..."
    allowed = " or ".join(dict.fromkeys(detail["msg"].removeprefix("Input ") for detail in details))
    options = [option for detail in details for option in detail.get("ctx", {}).get("expected", "").split("'")[1::2]]
    return f"{path}={value!r}: {allowed}{did_you_mean(str(value), options)}"


def did_you_mean(name: str, options: Any) -> str:
    close = difflib.get_close_matches(name, list(options), n=1)
    return f"; did you mean {close[0]}?" if close else ""
