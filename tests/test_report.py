"""Reports: the fields other tools read, files that are whole or absent, no number that is none."""

import json
import math
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lit_unlearn import report
from lit_unlearn.methods.anomaly.deep_svdd import DeepSVDD
from lit_unlearn.methods.anomaly.pu_svdd import PUSVDD
from lit_unlearn.report import Cost, Report, Row, Table

AUROC = Row("detection", "all", "auroc", 0.9731, 2000, (0.9655, 0.98), "higher")
ALPHA = Row("method", "unlabeled", "alpha", 0.1, 4750, None, "target", target=0.0526)
FORGET = Row("behaviour", "forget", "accuracy", 0.25, 40, (0.1, 0.4), "lower", before=0.95, reference=0.2)


def made(*rows: Row, **fields) -> Report:
    defaults = {
        "experiment": "pu_svdd/digits",
        "method": "pu_svdd",
        "data": "digits",
        "seed": 3,
        "config_sha": "0123abcd",
        "versions": {"python": "3.11.2", "torch": "2.13.0"},
        "hardware": {"cpu": "Example 7", "cores": 2, "gpus": []},
        "cost": Cost(fit_seconds=1.5, steps=160, peak_rss_mib=512.0, peak_gpu_mib=0.0),
        "notes": ["detection, split unseen: absent"],
    }
    return Report(rows=list(rows or (AUROC, ALPHA)), **defaults | fields)


def test_fields_and_their_order_are_an_interface():
    fields = json.loads(made(AUROC).to_json())
    head = ["experiment", "method", "data", "seed", "config_sha", "versions", "hardware", "cost", "rows", "notes"]
    assert list(fields) == [*head, "tables"]
    assert list(fields["cost"]) == ["fit_seconds", "steps", "peak_rss_mib", "peak_gpu_mib"]
    row = ["suite", "split", "metric", "value", "n", "ci95", "better", "target", "before", "reference"]
    assert list(fields["rows"][0]) == row
    assert fields["rows"][0]["ci95"] == [0.9655, 0.98]
    assert fields["rows"][0]["target"] is None


def test_json_is_read_back_as_it_was():
    original = made(AUROC, ALPHA, FORGET)
    assert Report.from_json(original.to_json()) == original


def test_a_table_is_read_back_and_shown_with_its_title():
    table = Table("latents", ["autoencoder", "latent", "score"], [["sae", 7, 0.25], ["sae", 1, 1.0]])
    original = made(tables=[table])
    assert Report.from_json(original.to_json()) == original
    shown = ["## latents", "", "| autoencoder | latent | score |", "|---|---|---|", "| sae | 7 | 0.2500 |"]
    assert "\n".join(shown) in original.to_markdown()
    assert "##" not in made().to_markdown()


def test_a_report_from_before_there_were_tables_is_read():
    fields = json.loads(made().to_json())
    del fields["tables"]
    assert Report.from_json(json.dumps(fields)) == made()


@pytest.mark.parametrize("number", [math.nan, math.inf, np.float64("nan")])
@pytest.mark.parametrize("field", ["value", "target", "before", "reference"])
def test_a_number_that_is_none_is_refused_with_the_name_of_its_row(field: str, number: float):
    fields = {"value": 0.5, field: number}
    with pytest.raises(ValueError, match=rf"behaviour/accuracy/forget: {field} is (nan|inf)"):
        Row("behaviour", "forget", "accuracy", n=1, ci95=None, better="lower", **fields)


def test_an_interval_that_is_none_is_refused():
    with pytest.raises(ValueError, match="detection/auroc/all: ci95 high is nan"):
        Row("detection", "all", "auroc", 0.5, 10, (0.4, math.nan), "higher")


def test_nan_elsewhere_is_never_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        made(cost=Cost(math.nan, 1, 1.0, 0.0)).to_json()


def test_report_json_is_written_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    replaced = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda old, new: (replaced.append(Path(new).name), replace(old, new)))
    made().write(tmp_path)
    assert replaced == ["report.md", "report.json"]
    assert Report.from_json((tmp_path / "report.json").read_text()) == made()


@pytest.mark.parametrize("stage", ["replace", "fsync"])
def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str):
    path = tmp_path / "report.json"
    report.write_atomically(path, "old")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, stage, full_disk)
    with pytest.raises(OSError, match="No space left"):
        report.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_markdown_says_what_was_run_and_measured():
    page = made().to_markdown()
    assert page.startswith("# pu_svdd/digits, seed 3\n")
    assert "160 steps in 1.5 s, 512 MiB" in page
    assert "| suite | metric | split | value | 95 % interval | n | better |\n|---|---|---|---|---|---|---|\n" in page
    assert "| detection | auroc | all | 0.9731 | 0.9655 to 0.9800 | 2000 | higher |" in page
    assert "| method | alpha | unlabeled | 0.1000 |  | 4750 | target 0.0526 |" in page
    assert "- detection, split unseen: absent\n" in page
    assert "python 3.11.2, torch 2.13.0." in page
    assert "cpu Example 7, cores 2, gpus none." in page


def test_before_and_reference_have_columns_where_a_row_has_them():
    page = made(AUROC, FORGET).to_markdown()
    assert "| value | 95 % interval | before | reference | n |" in page
    assert "| 0.2500 | 0.1000 to 0.4000 | 0.9500 | 0.2000 | 40 | lower |" in page


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.0, "1.0000"), (0.0, "0.0000"), (24.0, "24"), (3e-5, "3.00e-05"), (12.346, "12.35"), (-0.5, "-0.5000")],
)
def test_numbers_are_readable(value: float, text: str):
    row = Row("s", "p", "m", value, 1, None, "higher")
    assert report.plain_table([row]).splitlines()[1].split()[3] == text


def test_the_terminal_table_is_aligned():
    lines = report.summary(made(AUROC, ALPHA)).splitlines()
    assert lines[0] == "pu_svdd/digits, seed 3: 160 steps in 1.5 s"
    head, first, second = lines[2:5]
    assert head.index("value") == first.index("0.9731") == second.index("0.1000")
    assert head.index("better") == first.index("higher") == second.index("target 0.0526")
    assert lines[-1] == "note: detection, split unseen: absent"


def test_a_long_table_is_cut_in_the_terminal_and_says_so():
    rows = [Row("detection", f"tag{i}", "recall", 0.5, 10, None, "higher") for i in range(report.ROWS_SHOWN + 3)]
    lines = report.summary(made(*rows)).splitlines()
    assert sum(line.startswith("detection ") for line in lines) == report.ROWS_SHOWN
    assert "... and 3 more rows in report.md" in lines
    assert "more rows" not in report.summary(made(*rows[: report.ROWS_SHOWN]))


def test_versions_come_without_importing_the_packages():
    before = set(sys.modules)
    found = report.versions()
    assert list(found)[:2] == ["python", "lit_unlearn"]
    assert found["numpy"] == np.__version__
    assert {name.partition(".")[0] for name in set(sys.modules) - before} <= {"importlib", "email", "zipfile"}


def test_hardware_and_memory_are_those_of_this_machine():
    found = report.hardware()
    assert found["cpu"]
    assert found["cores"] == os.cpu_count()
    block = np.ones(2**23)  # 64 MiB
    peak = report.peak_memory()
    assert peak["peak_rss_mib"] > block.nbytes / 2**20
    assert peak["peak_rss_mib"] < found["memory_gib"] * 2**10


def test_tensorboard_gets_each_row_and_the_configuration(tmp_path: Path):
    logger = TensorBoardLogger(tmp_path, name="", version="", default_hp_metric=False)
    report.log_to_tensorboard(logger, made(AUROC, ALPHA), {"seed": 3, "method": {"alpha": 0.1}})
    logger.finalize("success")
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"report/detection/auroc/all", "report/method/alpha/unlabeled"}
    logged = events.Scalars("report/detection/auroc/all")[0]
    assert (logged.step, logged.value) == (160, pytest.approx(0.9731))
    content = events.summary_metadata["_hparams_/session_start_info"].plugin_data.content
    assert b"method/alpha" in content


def test_a_reconstructed_method_is_called_one():
    (note,) = report.reconstruction(PUSVDD)
    assert note.startswith("the method is a reconstruction: the paper's text was not available.")
    assert "\n" not in note
    assert report.reconstruction(DeepSVDD) == []
