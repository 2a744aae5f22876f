"""Looking at a diffusion model while it is trained: the same noise every time, the judge's verdict on each picture."""

from typing import Annotated, Any

from lightning import Callback, LightningModule, Trainer
from pydantic import Field

from lit_unlearn.evaluation import diffusion_figures as figures
from lit_unlearn.evaluation.diffusion_drawing import drawn, normal_classes, starts
from lit_unlearn.evaluation.diffusion_judge import VALIDATION, judge_of


class WatchSamples(Callback):
    """Draws pictures every so many epochs and logs them with the validation judge's verdicts to TensorBoard.

    Logs the figure `samples`, and the curves `val/non_sensitive_rate` and `val/frechet` (against the normal pictures
    held out of the training split, in the features of the validation judge). Only the first process draws.

    Args:
        every_n_epochs: epochs between two looks.
        num_samples: pictures for the curves.
        shown: of these, pictures in the figure.
    """

    def __init__(
        self,
        every_n_epochs: Annotated[int, Field(ge=1)] = 20,
        num_samples: Annotated[int, Field(ge=2)] = 256,
        shown: Annotated[int, Field(ge=1)] = 64,
    ):
        self.every_n_epochs, self.num_samples, self.shown = every_n_epochs, num_samples, shown

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero or (trainer.current_epoch + 1) % self.every_n_epochs or trainer.logger is None:
            return
        method: Any = pl_module
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        judge = judge_of(data, VALIDATION)
        start = starts(data, self.num_samples, "watched", method.input_shape)
        x = drawn(method, start, normal_classes(method, data, self.num_samples), at_once=data.drawn_at_once)
        verdicts = judge.classes(x)
        sensitive = judge.is_sensitive(verdicts)
        rate, step, writer = 1 - sensitive.float().mean().item(), trainer.global_step, trainer.logger.experiment  # type: ignore[attr-defined]
        writer.add_scalar("val/non_sensitive_rate", rate, step)
        if len(judge.normal_features) > 1:
            writer.add_scalar("val/frechet", judge.frechet(x), step)
        names = [data.class_names[number] for number in verdicts[: self.shown]]
        title = f"step {step}: {rate:.1%} of {len(x)} samples judged normal"
        figure = figures.sample_grid(x[: self.shown], names, sensitive[: self.shown].numpy(), title)
        writer.add_figure("samples", figure, step, close=False)
