"""Configuration: composed by Hydra from a command line, checked as a whole before anything is built.

`compose` turns a command line into a plain dictionary, `check` returns every error in it; `lit_unlearn.nodes` builds.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ConfigDict, Field

import lit_unlearn
from lit_unlearn.concepts.settings import ExtractionSettings
from lit_unlearn.errors import UserError
from lit_unlearn.nodes import check_node, did_you_mean, domain, imported, target_error, validate

EXPERIMENTS = Path(lit_unlearn.__file__).parent.parent / "experiments"
GROUPS = ("experiment", "method", "data", "trainer")
SET_BY_US = ("callbacks", "default_root_dir", "enable_model_summary", "enable_progress_bar", "logger", "plugins")
"""Arguments of the Trainer that follow from other keys."""


class FitConfig(BaseModel):
    """The keys of a run. Their defaults are in experiments/fit.yaml; the descriptions are shown by --help."""

    model_config = ConfigDict(extra="forbid", strict=True)

    experiment: str = Field(description="<method>/<data>: a method, a data set and the values of that setting")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        description="draws the split, the weights, the batches, the noise"
    )
    run_dir: str = Field(description="where the run lives; default checkpoints/<experiment>/seed<seed>")
    data_root: str = Field(description="where real data lie; default $LIT_UNLEARN_DATA, else ~/.cache/lit_unlearn")
    model: dict[str, Any] = Field(description="the network of the problem, the same for every method")
    method: dict[str, Any] = Field(description="the method and its arguments")
    data: dict[str, Any] = Field(description="the data set and its arguments")
    trainer: dict[str, Any] = Field(description="lightning.Trainer's arguments: cpu, gpu, ddp or fsdp")
    callbacks: dict[str, dict[str, Any] | None] = Field(description="Lightning callbacks by name; null leaves one out")
    requires: list[str] = Field(description="runs that must exist first, as command lines; [] turns this off")
    resume: str = Field(description="auto: go on where the run stopped; never: start anew; or a checkpoint's path")
    overwrite: bool = Field(description="replace a finished run, or one of another configuration")
    evaluate: bool = Field(description="evaluate after training and write the report")


class EvaluateConfig(BaseModel):
    """The keys of an evaluation. Their defaults are in experiments/evaluate.yaml."""

    model_config = ConfigDict(extra="forbid", strict=True)

    checkpoint: str = Field(description="best.ckpt or last.ckpt of a run")
    data_root: str | None = Field(description="where real data lie, if not where the run found them")
    input: str | None = Field(
        description="new data to score: FILE.npz, FILE.csv or a folder of pictures; a log, also .gz, .xz or - (stdin)"
    )
    output: str | None = Field(
        description="where scores go: FILE.csv; of a log also FILE.jsonl, FILE.html, - (stdout, line by line) or null "
        "(the most abnormal lines, shown). Without input: the folder of the pictures"
    )
    layout: Literal["plain"] | None = Field(
        description="plain: the lines of the log are messages as a whole; null: they are cut as in training"
    )
    export: str | None = Field(description="FILE.onnx: write the detector for other programs (logs)")
    trainer: dict[str, Any] = Field(description="lightning.Trainer's arguments: cpu, gpu, ddp or fsdp")


class Asked(BaseModel):
    """Who is asked about what."""

    model: str = Field(description="the language model: a folder, a FILE.gguf or a name on the Hugging Face hub")
    concept: str = Field(description="the person, the event, the thing, as texts name it")
    aliases: list[str] = Field(description="other names of it; whatever else it is called by is not found")
    output: str = Field(description="a folder; the same command goes on there where it was stopped")
    device: Literal["auto", "cpu", "cuda"] = Field(description="auto: a GPU where there is one")
    overwrite: bool = Field(description="replace an extraction with other settings")


class ExtractConfig(ExtractionSettings, Asked):
    """The keys of an extraction. Their defaults are in experiments/extract.yaml."""


Schema = type[FitConfig] | type[EvaluateConfig] | type[ExtractConfig]
SCHEMAS: dict[str, Schema] = {"fit": FitConfig, "evaluate": EvaluateConfig, "extract": ExtractConfig}


def choices(group: str, config_dir: str | None = None) -> dict[str, str]:
    """The options of a group with a line on each: the comment on the first line of its YAML file."""
    options = {}
    for root in [EXPERIMENTS, *([Path(config_dir)] if config_dir else [])]:
        for file in sorted((root / group).rglob("*.yaml")):
            name = file.relative_to(root / group).with_suffix("").as_posix()
            first = next(
                (line for line in file.read_text().splitlines() if line.startswith("# ") and "@" not in line), ""
            )
            if not name.startswith(("tuned/", "_")) and "/_" not in name:
                options[name] = first.removeprefix("# ")
    return options


def method_class(name: str) -> type:
    """The class of a method by its name in experiments/method.

    Raises:
        UserError: there is no such method.
    """
    options = choices("method")
    if name not in options:
        raise UserError(f"method={name}: no such method{did_you_mean(name, options)}")
    return imported(yaml.safe_load((EXPERIMENTS / "method" / f"{name}.yaml").read_text())["_target_"])


def compose(arguments: list[str], name: str = "fit", config_dir: str | None = None) -> dict[str, Any]:
    """The resolved configuration of a command line, as plain dictionaries, lists and numbers; not yet checked.

    Args:
        arguments: Hydra overrides. A key that is only in a signature may be set without Hydra's `+`.
        name: `fit`, `evaluate` or `extract`.
        config_dir: a folder with the user's own experiment/, method/, data/ files, searched as well.

    Raises:
        UserError: an override that cannot be read or a group option that does not exist; all of them at once.
    """
    overrides = _parse(arguments)
    errors = [error for override in overrides for error in _group_error(override, config_dir)]
    if name == "fit" and not any(override.key_or_group == "experiment" for override in overrides):
        errors.append(
            "experiment=: no experiment is named; choose one of " + ", ".join(choices("experiment", config_dir))
        )
    if errors:  # without them `check` sees misspelt keys as well
        raise UserError(errors + [error for override in overrides for error in _key_error(override, name)])
    lines = [_forced(override) for override in overrides]
    if config_dir:
        lines.append(f"hydra.searchpath=[file://{Path(config_dir).resolve()}]")
    GlobalHydra.instance().clear()
    try:
        with hydra.initialize_config_dir(str(EXPERIMENTS), version_base="1.3"):
            config = hydra.compose(name, lines, return_hydra_config=True)
            chosen = config.hydra.runtime.choices
            OmegaConf.set_struct(config, False)
            if name == "fit":
                plain = [line for line in lines if not line.startswith(("method=", "data=", "++model."))]
                own = hydra.compose(name, plain, return_hydra_config=True)
                config.experiment = run_name(chosen, own.hydra.runtime.choices)
                errors = _model_errors(config.model, own.model)
            del config["hydra"]
            resolved: dict[str, Any] = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[assignment]
    except (HydraException, OmegaConfBaseException) as error:
        absent = re.match(r"Interpolation key '(model\.\S+)' not found", str(error))
        if absent:
            raise UserError(
                f"{absent[1]}: the method or data chosen needs it, and the experiment does not have it; choose an "
                f"experiment that is made for them, or give {absent[1]}=..."
            ) from error
        raise UserError(f"the configuration cannot be composed: {' '.join(str(error).split())}") from error
    if errors:
        raise UserError(errors + check(resolved, name))
    return resolved


def _model_errors(given: Mapping[str, Any], own: Mapping[str, Any]) -> list[str]:
    """Keys of the network that the experiment does not have: nothing would read them."""
    return [
        f"model.{key}={given[key]!r}: no such key{did_you_mean(key, own)}; allowed: {', '.join(own)}"
        for key in given
        if key not in own
    ]


def run_name(chosen: Mapping[str, str], own: Mapping[str, str]) -> str:
    """The experiment's name; carries a method or data set that is not the experiment's own."""
    changed = [f"-{group}_{chosen[group]}" for group in ("method", "data") if chosen[group] != own[group]]
    return chosen["experiment"] + "".join(changed).replace("/", "_")


def check(config: dict[str, Any], name: str = "fit") -> list[str]:
    """Every error of a configuration, a line each: keys, types, ranges at all depths, and what does not go together."""
    schema = SCHEMAS[name]
    errors = validate(
        "", schema, {key: (field.rebuild_annotation(), ...) for key, field in schema.model_fields.items()}, config
    )
    callbacks = config.get("callbacks")
    nodes: dict[str, Any] = {k: config.get(k) for k in ("data", "method", "trainer") if k in schema.model_fields}
    if isinstance(callbacks, dict):
        nodes |= {f"callbacks.{key}": node for key, node in callbacks.items() if node is not None}
    offered: tuple[str, ...] | None = ()
    for path, node in nodes.items():
        if isinstance(node, dict):
            errors += check_node(path, node, offered)
            if path == "data":
                offered = _offered(node, nodes.get("method"))
    if isinstance(nodes.get("trainer"), dict):
        errors += _check_trainer(nodes["trainer"])
    if name == "fit" and isinstance(callbacks, dict) and callbacks.get("last") is None:
        errors.append("callbacks.last: missing; keep it, the report and a resumed run are made from last.ckpt")
    if not errors and name == "fit":
        errors += _check_domains(config)
    return errors


def _offered(data: dict[str, Any], method: Any) -> tuple[str, ...] | None:
    """What the data give to the method; None where either is not known or they are of two domains, which is told."""
    if not all(isinstance(node, dict) and "_target_" in node and not target_error("", node) for node in (data, method)):
        return None
    return imported(data["_target_"]).offers if domain(data) == domain(method) else None


def deciding(node: Any) -> Any:
    """The part of a configuration that decides the result: without where it lies and reads, and how it is started."""
    if not isinstance(node, dict):
        return node
    started = ("run_dir", "dirpath", "data_root", "resume", "overwrite", "requires", "evaluate")
    return {key: deciding(value) for key, value in node.items() if key not in started}


def config_sha(config: dict[str, Any]) -> str:
    """A hash of what decides the result, see `deciding`."""
    return hashlib.sha256(json.dumps(deciding(config), sort_keys=True).encode()).hexdigest()[:16]


def differences(there: Any, here: Any, path: str = "") -> Iterator[str]:
    """Where two configurations differ: `key: value there, value here`."""
    if isinstance(there, dict) and isinstance(here, dict):
        for key in [*there, *(key for key in here if key not in there)]:
            yield from differences(there.get(key), here.get(key), f"{path}.{key}" if path else str(key))
    elif there != here:
        yield f"{path} was {there!r} and is {here!r}"


def _parse(arguments: list[str]) -> list[Override]:
    parser, overrides, errors = OverridesParser.create(), [], []
    for argument in arguments:
        try:
            overrides.append(parser.parse_override(argument))
        except HydraException as error:
            errors.append(
                f"{argument}: not of the form key=value ({str(error).splitlines()[0]}); quote special characters"
            )
    if errors:
        raise UserError(errors)
    return overrides


def _group_error(override: Override, config_dir: str | None) -> list[str]:
    if override.key_or_group not in GROUPS or override.is_delete():
        return []
    group, value = override.key_or_group, override.value()
    options = choices(group, config_dir)
    if isinstance(value, str) and value in options:
        return []
    return [f"{group}={value}: no such {group}{did_you_mean(str(value), options)}; allowed: {', '.join(options)}"]


def _key_error(override: Override, name: str) -> list[str]:
    keys = SCHEMAS[name].model_fields
    key = override.key_or_group.split(".")[0]
    if key in keys or key == "hydra":
        return []
    return [f"{override.input_line}: no such key{did_you_mean(key, keys)}; allowed: {', '.join(keys)}"]


def _forced(override: Override) -> str:
    """Values are added or replaced alike: keys are checked against signatures, which Hydra does not know."""
    line = override.input_line or ""
    return f"++{line}" if override.type is OverrideType.CHANGE and override.key_or_group not in GROUPS else line


def _check_trainer(trainer: dict[str, Any]) -> list[str]:
    ours = [f"trainer.{key}: set by the program; leave it out" for key in SET_BY_US if key in trainer]
    limits = ("max_epochs", "max_steps", "limit_train_batches")
    return ours + [f"trainer.{key}=0: nothing would be trained; give more" for key in limits if trainer.get(key) == 0]


def _check_domains(config: dict[str, Any]) -> list[str]:
    method, data = domain(config["method"]), domain(config["data"])
    if method == data:
        return _check_batches(config) + _check_sharding(config)
    return [
        f"method is of the domain {method} and data of the domain {data}; choose both of one domain (--help lists them)"
    ]


def _check_batches(config: dict[str, Any]) -> list[str]:
    """Within a domain some methods train on other batches than others, such as texts and items to forget."""
    method, data = (imported(config[key]["_target_"]) for key in ("method", "data"))
    wanted, given = (getattr(cls, "batch_type", None) for cls in (method, data))
    if wanted is given or wanted is None or given is None:
        return []
    return [
        f"method={method.__name__} trains on {wanted.__name__} and data={data.__name__} gives {given.__name__}; "
        "choose an experiment of this method, and data that its other experiments have"
    ]


def _check_sharding(config: dict[str, Any]) -> list[str]:
    """Methods whose networks stay whole on each device say so with `sharded = False`."""
    strategy = config["trainer"].get("strategy")
    shards = isinstance(strategy, dict) and str(strategy.get("_target_")).endswith("ModelParallelStrategy")
    if not shards or getattr(imported(config["method"]["_target_"]), "sharded", True):
        return []
    return [f"trainer=fsdp: the networks of the domain {domain(config['method'])} are not sharded; use trainer=ddp"]
