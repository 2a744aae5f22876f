"""AutoAttack: an ensemble of four attacks without parameters; a picture stands if it withstands all of them.

Croce and Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks", ICML
2020, arXiv 2003.01690. Standard version: APGD on the cross entropy, targeted APGD on the DLR loss (9 targets), targeted
FAB (9), Square (5000 queries); the attacks themselves are those of the authors' library, `pyautoattack`.

This wrapper runs each attack only on the pictures that still stand, in large batches, keeps the pictures it broke, and
goes on where it was stopped.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lit_unlearn.attacks.ball import Ball, check_unit_range
from lit_unlearn.attacks.gradient import attacked
from lit_unlearn.errors import UserError

AttackName = Literal["apgd-ce", "apgd-t", "fab-t", "square"]
STANDARD: tuple[AttackName, ...] = ("apgd-ce", "apgd-t", "fab-t", "square")
NORMS = {"linf": "Linf", "l2": "L2"}


@dataclass
class Verdict:
    """What AutoAttack found.

    Attributes:
        standing: (N,) bool: classified rightly, and not broken.
        x: (N, C, H, W): the misclassified picture in the ball where one was found, else the picture as it was.
        broken: pictures by the attack that broke them, in the order of the attacks; `clean` were wrong before.
        seconds: by attack.
    """

    standing: Tensor
    x: Tensor
    broken: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)


def autoattack(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    ball: Ball,
    attacks: tuple[AttackName, ...] = STANDARD,
    seed: int = 0,
    batch_size: int = 1000,
    state: Path | None = None,
) -> Verdict:
    """Attacks the pictures one attack after the other, each on those that still stand.

    The library draws its noise anew from `seed` in each batch: with the same batches its verdicts are the same. With
    four classes or more all attacks are as published, with at most K - 1 targets; the DLR loss needs four.

    Args:
        model: from (B, C, H, W) in [0, 1] to (B, K) logits, float32; attacked in eval mode, left as it was.
        x: (N, C, H, W) in [0, 1], on the model's device.
        y: (N,).
        ball: what the attacks may do.
        attacks: which, in their order.
        seed: of their noise.
        batch_size: pictures at a time.
        state: a safetensors file for what is found, written after each batch; one that is there of the same network,
            pictures and settings is gone on with. None keeps nothing.

    Raises:
        UserError: the pictures do not lie in [0, 1], or there are too few classes.
    """
    check_unit_range(x)
    with attacked(model, "eval"), torch.no_grad(), left_alone(model):
        logits = torch.cat([model(part) for part in x.split(batch_size)])
        targets = min(9, logits.shape[1] - 1)
        if "apgd-t" in attacks and targets < 3:
            raise UserError(
                f"AutoAttack: the network has {logits.shape[1]} classes, the targeted DLR loss needs 4; use PGD"
            )
        library = _library(model, ball, seed, targets, str(x.device))
        made_of = _fingerprint(model, x, y, ball, attacks, seed, batch_size)
        found = _read(state, made_of, x.device) if state is not None else None
        if found is None:
            standing = logits.argmax(1) == y
            found = _Progress(Verdict(standing, x.clone(), {"clean": int((~standing).sum())}))
        verdict = found.verdict
        for number, attack in enumerate(attacks):
            if number < found.attack:
                continue
            if found.pending is None:
                found.attack, found.pending = number, verdict.standing.nonzero().flatten()
            while len(found.pending):
                rows, started = found.pending[:batch_size], time.monotonic()
                perturbed = library[attack](x[rows], y[rows])
                fooled = model(perturbed).argmax(1) != y[rows]
                fooled &= ball.distance(perturbed, x[rows]) <= ball.eps * (1 + 1e-4) + 1e-6
                verdict.standing[rows[fooled]] = False
                verdict.x[rows[fooled]] = perturbed[fooled]
                verdict.broken[attack] = verdict.broken.get(attack, 0) + int(fooled.sum())
                verdict.seconds[attack] = verdict.seconds.get(attack, 0.0) + time.monotonic() - started
                found.pending = found.pending[batch_size:]
                if state is not None:
                    _write(state, found, made_of)
            verdict.broken.setdefault(attack, 0)
            found.attack, found.pending = number + 1, None
        return verdict


@dataclass
class _Progress:
    """How far an interrupted call has come: which attack it is at, and the rows that this one has yet to attack."""

    verdict: Verdict
    attack: int = 0
    pending: Tensor | None = None


def _library(model: nn.Module, ball: Ball, seed: int, targets: int, device: str) -> dict[str, Any]:
    """The attacks of pyautoattack as functions of pictures and classes, set as in its standard version."""
    import pyautoattack  # only where it is used

    made = pyautoattack.AutoAttack(model, norm=NORMS[ball.norm], eps=ball.eps, seed=seed, device=device)
    made.apgd.loss = "ce"
    made.apgd_targeted.n_target_classes = made.fab.n_target_classes = targets
    made.fab.targeted = True
    for attack in (made.apgd, made.apgd_targeted, made.fab, made.square):
        attack.seed = seed
    return {
        "apgd-ce": made.apgd.perturb,
        "apgd-t": made.apgd_targeted.perturb,
        "fab-t": made.fab.perturb,
        "square": made.square.perturb,
    }


def _fingerprint(model: nn.Module, x: Tensor, y: Tensor, *settings: Any) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    for tensor in (x, y, *model.state_dict().values()):
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _write(path: Path, found: _Progress, made_of: str) -> None:
    verdict, pending = found.verdict, found.pending
    assert pending is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {"attack": found.attack, "broken": verdict.broken, "seconds": verdict.seconds, "made_of": made_of}
    tensors = {"standing": verdict.standing, "x": verdict.x, "pending": pending.contiguous()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    save_file({name: tensor.cpu() for name, tensor in tensors.items()}, temporary, {"progress": json.dumps(said)})
    os.replace(temporary, path)


def _read(path: Path, made_of: str, device: torch.device) -> _Progress | None:
    """What was found before; None where there is nothing, or it is of another network, pictures or settings."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt", device=str(device)) as file:
            said = json.loads(file.metadata()["progress"])
            tensors = {name: file.get_tensor(name) for name in ("standing", "x", "pending")}
    except (SafetensorError, KeyError, TypeError, ValueError):
        return None
    if said["made_of"] != made_of:
        return None
    verdict = Verdict(tensors["standing"], tensors["x"], said["broken"], said["seconds"])
    return _Progress(verdict, said["attack"], tensors["pending"])


@contextmanager
def left_alone(model: nn.Module) -> Iterator[None]:
    """Puts the global generators back, which the library seeds, and spares the weights the gradients of its FAB."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    try:
        for weight in trained:
            weight.requires_grad_(False)
        with torch.random.fork_rng(devices):
            yield
    finally:
        for weight in trained:
            weight.requires_grad_(True)
