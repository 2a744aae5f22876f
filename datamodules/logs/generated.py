"""A generated log with injected anomalies: embedded, for a first run without any data."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from datamodules.logs.base import LogDataModule
from datamodules.logs.formats import named
from datamodules.logs.generator import generate


class GeneratedLog(LogDataModule):
    """The log of `datamodules.logs.generator`; it is the same for every seed of a run unless `log_seed` is changed.

    Args:
        num_lines: lines of the log.
        anomaly_share: expected share of anomalies.
        log_seed: draws the log.
        lines: see `LogDataModule`.
    """

    def __init__(
        self,
        num_lines: Annotated[int, Field(ge=100)] = 20_000,
        anomaly_share: Annotated[float, Field(ge=0, le=0.5)] = 0.02,
        log_seed: int = 0,
        **lines,
    ):
        super().__init__(**lines)
        self.num_lines, self.anomaly_share, self.log_seed = num_lines, anomaly_share, log_seed
        self.format = named("columns", label=0, time=1, message=2)

    def read(self) -> Iterable[str]:
        return generate(self.num_lines, self.log_seed, self.anomaly_share)
