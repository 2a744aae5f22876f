"""Curves of forgetting during training: answers by split, and whether targets still look known inside.

A sample of what the report measures at the end, small enough to be measured often.
"""

from collections import defaultdict
from typing import Any

import numpy as np
import torch
from lightning import LightningDataModule
from torch import Tensor

from datamodules.llm.batches import ProbeBatch
from lit_unlearn.methods.sparse_logging import SparseLogging
from lit_unlearn.metrics.answers import exact_match, mean_log_prob
from lit_unlearn.metrics.knownness import Probe, fit_probe
from lit_unlearn.metrics.ranking import areas
from lit_unlearn.networks.causal_lm import logits_from, rows_at_once


class LearningCurves(SparseLogging):
    """Logs at every validation `val/accuracy_<split>`, `val/probability_<split>`, and `val/probe_auroc_vs_unknown`.

    The probe is a linear one, fitted on the untouched model's states of known against unknown entities after block
    `problem["layer"]`, at the entities' last tokens. .5: targets look like names never seen.
    """

    model: Any
    problem: Any
    probe: Probe | None = None

    def fit_knowledge_probe(self, data: LightningDataModule) -> None:
        """To be called while the model is untouched; a data set without entities has no such curve."""
        entities = data.entities  # type: ignore[attr-defined]
        if {"target", "unknown", "probe_known", "probe_unknown"} <= set(entities):
            known, unknown = (
                self.entity_states(entities[group]).float().cpu() for group in ("probe_known", "probe_unknown")
            )
            self.probe = fit_probe(known.numpy(), unknown.numpy())

    @torch.no_grad()
    def entity_states(self, items: Any) -> Tensor:
        """(N, d) states after the block where the entities end, of the items that name one."""
        parts = []
        for rows in (items.entity_end >= 0).nonzero().flatten().split(256):
            batch = items.batch(rows)
            states = self.states(batch.tokens.to(self.device))
            parts.append(states[torch.arange(len(rows)), batch.entity_end.to(self.device)])
        return torch.cat(parts)

    def states(self, tokens: Tensor) -> Tensor:
        """(B, T, d) residual stream after block `problem["layer"]`."""
        raise NotImplementedError

    def on_validation_epoch_start(self) -> None:
        self._measured: dict[str, list[Tensor]] = defaultdict(list)

    def validation_step(self, batch: ProbeBatch, batch_idx: int) -> None:
        answers = batch.answers
        if batch.entities:
            states = self.states(answers.tokens)[torch.arange(len(answers.tokens)), answers.entity_end]
            self._measured[f"states/{batch.split}"].append(states.float().cpu())
            return
        start = int(answers.prompt_end.min())
        width, rows = answers.tokens.shape[1] - start, torch.arange(len(answers.tokens))
        for part in rows.split(rows_at_once(width, self.model.config.vocab_size, len(rows))):
            logits, labels = logits_from(self.model, answers.tokens[part], start), answers.labels[part, start:]
            self._measured[f"accuracy_{batch.split}"].append(exact_match(logits, labels).float())
            self._measured[f"probability_{batch.split}"].append(mean_log_prob(logits, labels).exp())

    def on_validation_epoch_end(self) -> None:
        values = {
            f"val/{name}": torch.cat(parts).mean() for name, parts in self._measured.items() if "states/" not in name
        }
        if self.probe is not None and {"states/target", "states/unknown"} <= set(self._measured):
            target, unknown = (
                self.probe.logits(torch.cat(self._measured[f"states/{group}"]).numpy())
                for group in ("target", "unknown")
            )
            scores, is_target = np.concatenate([target, unknown]), np.repeat([True, False], [len(target), len(unknown)])
            auroc = areas(scores, is_target, np.ones((1, len(scores))))[0][0]
            values["val/probe_auroc_vs_unknown"] = torch.tensor(float(auroc))
        self.log_dict(values, rank_zero_only=True)
