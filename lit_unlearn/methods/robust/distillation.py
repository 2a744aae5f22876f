"""Adversarial training and distillation: attack each picture, then step on a weighted sum of named terms.

    x~ = attack(x) raises the inner loss in the ball;      L = mean over pictures of sum_i weight_i term_i

A method is a subclass that sets `weights`; terms are in `lit_unlearn.methods.robust.terms`.
"""

from typing import Annotated, Any, Literal

import torch
from lightning import LightningDataModule
from pydantic import Field
from torch import Tensor, nn

from datamodules.robust.batches import LabelledBatch
from lit_unlearn.attacks.ball import Start
from lit_unlearn.attacks.gradient import Mode, pgd
from lit_unlearn.errors import UserError
from lit_unlearn.losses.distillation import Distance, Reduction, cross_entropy, kl_divergence
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.robust.base import RobustClassifier
from lit_unlearn.methods.robust.terms import TERMS, Input, Passes, TermName
from lit_unlearn.networks.classifier import Classifier, ClassifierName
from lit_unlearn.networks.classifier_files import load_classifier

InnerLoss = Literal["none", "ce", "kl_self", "kl_teacher", "objective"]


class Distillation(RobustClassifier):
    """A classifier whose objective is a weighted sum of terms on attacked pictures.

    The attack sees the network in eval mode unless `attack_mode` says otherwise. Teachers are frozen, in eval mode, and
    no part of this module: neither optimiser, checkpoint nor DDP knows them.

    Args:
        inner_loss: what the attack raises: `ce` CE(S(x~), y); `kl_self` KL(S(x) -> S(x~)); `kl_teacher`
            KL(T(x) -> S(x~)); `objective`, the weighted sum itself; `none` trains without an attack.
        attack_start: see `lit_unlearn.attacks.ball.Ball.start`.
        attack_mode: of the network while it is attacked.
        others: see `RobustClassifier`.
    """

    weights: dict[TermName, float]
    """Set by a method: what each term counts."""

    def __init__(
        self,
        inner_loss: InnerLoss = "ce",
        attack_start: Start = "uniform",
        attack_mode: Mode = "eval",
        **others: Any,
    ):
        super().__init__(**others)
        self.inner_loss: InnerLoss = inner_loss
        self.attack_start: Start = attack_start
        self.attack_mode: Mode = attack_mode
        self.weights = {}
        self.sources: dict[str, tuple[str, ClassifierName | None]] = {}
        self._teachers: dict[str, Classifier] = {}  # a plain dictionary: not registered
        self.layers: list[str] = []
        self.projections = nn.ModuleList()
        self.teacher_input: Input = "clean"
        self.tau = 1.0
        self.reduction: Reduction = "sum"
        self.distance: Distance = "normalised_l2"
        self.trust_power, self.trust_from = 0.0, 0.0

    def objective(self, batch: LabelledBatch) -> Tensor:
        passes = Passes(self, batch.x, self.attack(batch), batch.y)
        values = {name: TERMS[name](passes) for name, weight in self.weights.items() if weight}
        if len(values) > 1:
            self.log_sometimes({f"train/{name}": value.detach().mean() for name, value in values.items()})
        return batch_mean(self._sum(values))

    def _sum(self, values: dict[TermName, Tensor]) -> Tensor:
        terms = [self.weights[name] * value for name, value in values.items()]
        return torch.stack(terms).sum(0)

    def attack(self, batch: LabelledBatch) -> Tensor:
        """x~ for a batch."""
        x, y = batch
        model: nn.Module = self.net
        match self.inner_loss:
            case "none":
                return x
            case "ce":
                loss = lambda logits: cross_entropy(logits, y)  # noqa: E731
            case "kl_self" | "kl_teacher":
                target = self._soft_target(x)
                loss = lambda logits: kl_divergence(target, logits)  # noqa: E731
            case "objective":
                model, loss = AttackedObjective(self, x, y), lambda values: values
        return pgd(model, x, loss, self.ball, self.attack_step, self.attack_steps, self.attack_start, self.attack_mode)

    def _soft_target(self, x: Tensor) -> Tensor:
        """Logits on the pictures as they are, of the teacher, or of the student in the mode of the attack."""
        with torch.no_grad():
            if self.inner_loss == "kl_teacher":
                return self.teacher()(x)
            training = self.net.training
            self.net.train(self.attack_mode == "train")
            target = self.net(x)
            self.net.train(training)
            return target

    @property
    def layers_used(self) -> list[str]:
        return self.layers if self.weights.get("representation") else []

    def trust_counts(self) -> bool:
        """Whether the share `trust_from` of the steps is behind."""
        return self._trainer is None or self.global_step >= self.trust_from * self.total_steps

    def teacher(self, key: str = "teacher") -> Classifier:
        """A teacher; in eval mode and without gradients to its weights."""
        return self._teachers[key]

    def teach_with(self, **teachers: Classifier) -> None:
        """Sets teachers, and makes what maps the student's representations to the shapes of theirs.

        Raises:
            UserError: a layer does not exist, or differs in more than its width.
        """
        self._teachers |= teachers
        if self.layers_used and not len(self.projections):
            ours = self.net.representation_shapes(self.layers)
            theirs = self.teacher().representation_shapes(self.layers)
            for name, own, other in zip(self.layers, ours, theirs, strict=True):
                if own[1:] != other[1:]:
                    raise UserError(
                        f"method.layers={name}: the student's is {list(own)}, the teacher's {list(other)}; only widths "
                        "may differ; choose another layer"
                    )
                self.projections.append(projection(own, other))

    def check(self, data: LightningDataModule) -> None:
        """Reads the teachers, before anything is written.

        Raises:
            UserError: a file cannot be read or is for other data, or a layer does not exist.
        """
        super().check(data)
        for name in self.layers_used:
            self.net.layer(name)
        self._read_teachers()

    def setup(self, stage: str) -> None:
        if stage == "fit":
            self._read_teachers()

    def _read_teachers(self) -> None:
        shape, classes = self.net.made_of["input_shape"], self.net.num_classes
        read = {
            key: load_classifier(path, f"method.{key}", network, shape, classes)
            for key, (path, network) in self.sources.items()
            if key not in self._teachers
        }
        self.teach_with(**read)

    def configure_model(self) -> None:
        super().configure_model()
        if self.device_mesh is not None:
            for module in self.projections:  # FSDP leaves the gradients of what is not sharded to each process
                if not isinstance(module, nn.Identity):
                    torch.distributed.fsdp.fully_shard(module, mesh=self.device_mesh["data_parallel"])

    def on_train_start(self) -> None:
        super().on_train_start()
        like = next(self.net.parameters())
        for teacher in self._teachers.values():
            teacher.to(like)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Makes the projections that a checkpoint has; to judge the student, no teacher is read."""
        if not len(self.projections):
            state = checkpoint["state_dict"]
            for number in range(len(self.layers_used)):
                weight = state.get(f"projections.{number}.weight")
                if weight is None:
                    self.projections.append(nn.Identity())
                else:
                    (after, before), rest = weight.shape[:2], tuple(weight.shape[2:])
                    self.projections.append(projection((before, *rest), (after, *rest)))


class AttackedObjective(nn.Module):
    """The weighted sum as a function of the attacked pictures: (B, C, H, W) to (B,), for an attack to raise."""

    def __init__(self, method: Distillation, x: Tensor, y: Tensor):
        super().__init__()
        self.net = method.net  # so that the attack sets its mode
        self.of: tuple[Distillation, Tensor, Tensor] = method, x, y  # in a tuple: the method is no part of this

    def forward(self, perturbed: Tensor) -> Tensor:
        method, x, y = self.of
        passes = Passes(method, x, perturbed, y)
        return method._sum({name: TERMS[name](passes) for name, weight in method.weights.items() if weight})


def projection(own: tuple[int, ...], other: tuple[int, ...]) -> nn.Module:
    """A learnt linear map (a 1x1 convolution of maps) from one width to another; nothing where they are the same."""
    if own == other:
        return nn.Identity()
    if len(own) == 1:
        return nn.Linear(own[0], other[0], bias=False)
    return nn.Conv2d(own[0], other[0], 1, bias=False)


class Student(Distillation):
    """A `Distillation` from a teacher.

    Args:
        teacher: a robust network: an `export` folder, a checkpoint, or a file of weights.
        teacher_network: what a bare file of weights belongs to; None takes what the folder or checkpoint says.
        others: see `Distillation`.
    """

    def __init__(self, teacher: str, teacher_network: ClassifierName | None = None, **others: Any):
        super().__init__(**others)
        self.sources["teacher"] = (teacher, teacher_network)


Weight = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
