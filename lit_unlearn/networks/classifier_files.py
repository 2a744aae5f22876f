"""Classifiers written to a folder, and read from one, from a run's checkpoint or from weights published elsewhere.

Nothing that is read can run code: safetensors, or torch's format with `weights_only=True`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lit_unlearn.errors import UserError
from lit_unlearn.networks.classifier import BODIES, Classifier, ClassifierName

WEIGHTS, MADE_OF = "model.safetensors", "config.json"
WRAPPERS = ("state_dict", "model_state_dict", "net", "model")
"""Entries under which published checkpoints keep the weights."""
PREFIXES = ("module.", "model.", "net.", "0.", "1.")
"""What DataParallel, and a normalisation put before the network, leave in front of every name."""
STATISTICS = {"mu": "mean", "mean": "mean", "sigma": "std", "std": "std"}


def save_classifier(classifier: Classifier, folder: Path) -> None:
    """Writes model.safetensors (the body's weights) and config.json (what it is made of); makes the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: weight.contiguous() for name, weight in classifier.body.state_dict().items()}, folder / WEIGHTS)
    (folder / MADE_OF).write_text(json.dumps(classifier.made_of, indent=2) + "\n")


def load_classifier(
    path: str, key: str, network: ClassifierName | None, input_shape: Sequence[int], num_classes: int
) -> Classifier:
    """A classifier in eval mode on the CPU, without gradients.

    Args:
        path: the `export` folder of a run; one of its checkpoints; or a file of weights (safetensors, or torch's
            format as RobustBench publishes them), whose network then has to be named. Weights from elsewhere take
            pictures in [0, 1] as they are, unless the file holds the mean and standard deviation of the channels.
        key: the configuration's key of `path`, for errors.
        network: its name; None takes what a folder or a checkpoint says.
        input_shape, num_classes: of the data.

    Raises:
        UserError: the file is absent, damaged or would run code, its weights are not of the network, or it was made
            for other pictures or another number of classes.
    """
    source = Path(path)
    if not source.exists():
        raise UserError(
            f"{key}={path}: no such file or folder; run the experiment that makes it, or leave requires as it is"
        )
    if source.is_dir():
        made_of, weights = _read_folder(source, key)
    else:
        contents = _read_file(source, key)
        made_of, weights = _of_a_run(contents) or _of_others(contents, path, key, network, input_shape, num_classes)
    for name, wanted in (("num_classes", num_classes), ("input_shape", list(input_shape))):
        if made_of[name] != wanted:
            raise UserError(
                f"{key}={path}: made for {name} {made_of[name]}, the data have {wanted}; give a network made for them"
            )
    classifier = Classifier(**made_of)
    _fill(classifier, weights, f"{key}={path}")
    return classifier.eval().requires_grad_(False)


def _read_folder(folder: Path, key: str) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    missing = [name for name in (WEIGHTS, MADE_OF) if not (folder / name).is_file()]
    if missing:
        raise UserError(f"{key}={folder}: the folder lacks {', '.join(missing)}; give the export folder of a run")
    try:
        made_of = json.loads((folder / MADE_OF).read_text())
    except ValueError as error:
        raise UserError(f"{key}={folder}: {MADE_OF} cannot be read ({error}); export the network anew") from error
    return made_of, _read_file(folder / WEIGHTS, key)


def _read_file(path: Path, key: str) -> Mapping[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise UserError(f"{key}={path}: damaged or no safetensors file ({error}); get it anew") from error
    except Exception as error:  # torch's reader raises anything on bytes that are not its own, or refuses code
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{key}={path}: damaged, or holds more than tensors and could run code ({reason}); save its weights as "
            "safetensors"
        ) from error


def _of_a_run(contents: Mapping[str, Any]) -> tuple[dict[str, Any], Mapping[str, Tensor]] | None:
    """The evaluated network of one of our checkpoints: the averaged one where the run averaged weights."""
    if "lit_unlearn" not in contents:
        return None
    method = contents["lit_unlearn"]["config"]["method"]
    made_of = {name: method[name] for name in ("network", "input_shape", "num_classes", "mean", "std")}
    if method.get("normalise") == "none":
        made_of |= {"mean": [0.0] * len(made_of["mean"]), "std": [1.0] * len(made_of["std"])}
    state = contents["state_dict"]
    prefix = "average.network.body." if any(name.startswith("average.") for name in state) else "net.body."
    return made_of, {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _of_others(
    contents: Mapping[str, Any],
    path: str,
    key: str,
    network: ClassifierName | None,
    input_shape: Sequence[int],
    num_classes: int,
) -> tuple[dict[str, Any], Mapping[str, Tensor]]:
    if network is None:
        raise UserError(
            f"{key}={path}: a file of weights does not say which network they are of; give {key}_network=..., one of "
            f"{', '.join(BODIES)}"
        )
    for wrapper in WRAPPERS:
        if isinstance(contents.get(wrapper), Mapping):
            contents = contents[wrapper]
    weights = {_bare(name): value for name, value in contents.items() if isinstance(value, Tensor)}
    channels = input_shape[0]
    statistics = {"mean": [0.0] * channels, "std": [1.0] * channels}
    for name in list(weights):
        kind = STATISTICS.get(name.removeprefix("normalize."))
        if kind is not None:
            statistics[kind] = weights.pop(name).flatten().tolist()
    return {
        "network": network,
        "input_shape": list(input_shape),
        "num_classes": num_classes,
        **statistics,
    }, weights


def _bare(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.split(".", 1)[1]
    return name


def _fill(classifier: Classifier, weights: Mapping[str, Tensor], what: str) -> None:
    own = classifier.body.state_dict()
    counters = {name for name in own if name.endswith("num_batches_tracked")}  # older files have none
    missing = [name for name in own if name not in weights and name not in counters]
    foreign = [name for name in weights if name not in own]
    other = [name for name in own if name in weights and own[name].shape != weights[name].shape]
    if missing or foreign or other:
        said = [
            f"{text} {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
            for text, names in (("it lacks", missing), ("it has", foreign), ("of another shape:", other))
            if names
        ]
        raise UserError(
            f"{what}: not the weights of {classifier.made_of['network']} for {classifier.num_classes} classes: "
            f"{'; '.join(said)}; name the network they are of"
        )
    classifier.body.load_state_dict(weights, strict=False)
