"""DeepLog: a line is abnormal if its message is not one that follows the messages before it.

Du, Li, Zheng, Srikumar, "DeepLog: Anomaly Detection and Diagnosis from System Logs through Deep Learning", CCS 2017.

Idea: a log is a language whose words are templates. An LSTM learns to predict the template of a line from those of the
h lines before it; what it finds improbable is abnormal. Templates come from Drain.

Equations implemented, numbered here: with K templates and the share eps set aside for new ones,

    (1)  L = E[ - log p(t | h templates before) ]
    (2)  s(x) = - log( (1 - eps) p(t | h templates before) + eps / (K + 1) ),  p = 0 for a line without a template

so that a line without a template has the largest score there is, log(K + 1) + log(1 / eps), and the others have the
order of - log p. h = 10, two layers of 64 units.

Deviations: the paper calls a line abnormal if its template is not among the g most probable ones; equation (2) ranks
lines, so that the thresholds all methods share can be set. The model of parameter values and updates by an operator are
not here. Templates enter by a learned embedding (the paper's one-hot vectors times a matrix). Training draws places of
the training sequence: the batch says how many, not which. The training sequence is that of the training lines in the
file's order, with those of other parts left out; a scored line is preceded by the lines before it in the file, whatever
part they belong to. Beyond `max_templates` the rarest templates count as new.

A line on its own (`line_scores`) has no lines before it: p is then the share of its template among the training lines.
The thresholds are those of lines in sequence.

Command: python -m lit_unlearn.fit experiment=log_electra/generated method=deep_log
"""

from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from datamodules.logs.batches import LineBatch
from lit_unlearn.losses.reduction import batch_mean
from lit_unlearn.methods.logs.base import NetworkLogDetector
from lit_unlearn.metrics.quantiles import weighted_quantiles
from lit_unlearn.networks.log_templates import LogTemplates

NEW = 1e-3
"""eps of equation (2)."""

SCORED = 4096
"""Lines scored at a time."""

HELD_OUT = 20_000
"""Held-out lines scored at a validation, at most; evenly spread."""


def surprise(logits: Tensor, template: Tensor) -> Tensor:
    """Equation (2).

    Args:
        logits: (B, M) float, minus infinity for templates that do not exist.
        template: (B,) int64 below M, or M for a line without a template.

    Returns:
        (B,) positive.
    """
    probability = F.pad(logits.softmax(1), (0, 1)).gather(1, template[:, None])[:, 0]
    num_templates = logits.isfinite().sum(1).to(logits.dtype)
    return -torch.log((1 - NEW) * probability + NEW / (num_templates + 1))


class DeepLog(NetworkLogDetector):
    """An LSTM over the templates of the lines before.

    Args:
        history: h, lines before that are looked at.
        hidden: units of a layer, and length of the templates' embedding.
        layers: of the LSTM.
        max_templates: sizes the network; templates beyond are new ones.
        similarity: of lines of a template, see `LogTemplates`.
        optimiser: see `NetworkLogDetector`.
    """

    occurrences: Tensor

    def __init__(
        self,
        history: Annotated[int, Field(ge=1)] = 10,
        hidden: Annotated[int, Field(ge=1)] = 64,
        layers: Annotated[int, Field(ge=1)] = 2,
        max_templates: Annotated[int, Field(ge=1)] = 1000,
        similarity: Annotated[float, Field(gt=0, le=1)] = 0.4,
        **optimiser,
    ):
        super().__init__(**optimiser)
        self.history, self.max_templates = history, max_templates
        self.templates = LogTemplates(similarity, max_templates)
        self.embedding = nn.Embedding(max_templates + 1, hidden)  # the last: a new one, or before the log
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.output = nn.Linear(hidden, max_templates)
        self.register_buffer("occurrences", torch.zeros(max_templates, dtype=torch.int64))  # among the training lines

    def on_fit_start(self) -> None:
        """Makes templates of the training lines; a resumed run finds the same ones again."""
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        distinct, count = np.unique(data.line[data.train], return_counts=True)
        occurrences = self.templates.fit([data.texts[i] for i in distinct], count)
        self.occurrences.zero_()
        self.occurrences[: len(occurrences)] = torch.from_numpy(occurrences).to(self.device)
        self.sequence = self.template_sequence(data)
        self.training_sequence = self.sequence[data.train]
        self.places = torch.nonzero(self.training_sequence < self.max_templates)[:, 0]

    def template_sequence(self, data: Any) -> Tensor:
        """(N,) the template of each line of a `LogDataModule`'s log; `max_templates` for none."""
        return self.template_numbers(data.texts)[data.line]

    def template_numbers(self, text: list[str]) -> Tensor:
        number = torch.from_numpy(self.templates.match(text))
        return number.masked_fill(number == len(self.templates.templates), self.max_templates)

    def logits(self, sequence: Tensor, places: Tensor) -> Tensor:
        """(B, M) of the template at each place of a sequence, from the `history` templates before it."""
        before = places[:, None] + torch.arange(-self.history, 0)
        known = sequence[before.clamp(min=0)].masked_fill(before < 0, self.max_templates)
        states, _ = self.lstm(self.embedding(known.to(self.device)))
        return self.output(states[:, -1]).masked_fill(self.occurrences == 0, -torch.inf)

    def objective(self, batch: LineBatch) -> Tensor:
        """Equation (1) at as many places of the training sequence as the batch has lines."""
        places = self.places[torch.randint(len(self.places), (len(batch.text),))]
        target = self.training_sequence[places].to(self.device)
        return batch_mean(F.cross_entropy(self.logits(self.training_sequence, places), target, reduction="none"))

    @torch.no_grad()
    def scores_at(self, sequence: Tensor, lines: NDArray[np.int64]) -> Tensor:
        """(n,) equation (2) of some lines of a log, (N,) templates."""
        parts = torch.from_numpy(lines).split(SCORED)
        return torch.cat(
            [surprise(self.logits(sequence, part), sequence[part].to(self.device)).float() for part in parts]
        )

    def sequence_scores(self, data: Any) -> NDArray[np.float64]:
        """(number of test lines,) equation (2) of the test lines, each after the lines before it.

        Args:
            data: a `LogDataModule`, set up.
        """
        return self.scores_at(self.template_sequence(data), data.test).double().cpu().numpy()

    def line_scores(self, batch: LineBatch) -> Tensor:
        template = self.template_numbers(batch.text).to(self.device)
        return surprise(self.occurrences.double().log().expand(len(template), -1), template).float()

    def validation_step(self, batch: LineBatch, batch_idx: int) -> None:
        """Nothing: the held-out lines are scored where they stand in the log, at the end."""

    def on_validation_epoch_end(self) -> None:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        scores = self.scores_at(self.sequence, data.validation[:: -(-len(data.validation) // HELD_OUT)])
        self.log("val/score", scores.mean(), sync_dist=True)
        counts = torch.ones(len(scores), dtype=torch.int64, device=scores.device)
        self.unlabeled_quantiles.copy_(weighted_quantiles(scores, counts, len(self.unlabeled_quantiles)))
