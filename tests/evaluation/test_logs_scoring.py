"""Scoring a log: the scores are the method's, each text is scored once, in constant memory, and all outputs agree."""

import csv
import io
import json
import os
import re
import sys
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule
from tokenizers import Tokenizer
from torch import Tensor

from datamodules.logs.batches import CLS, SEP, LineBatch, padded
from datamodules.logs.formats import named
from datamodules.logs.reading import LogReader
from datamodules.logs.tokenizer import encode, train_wordpiece
from lit_unlearn.errors import RunFailed, UserError
from lit_unlearn.evaluation import logs, logs_judging, logs_scoring
from lit_unlearn.evaluation.logs_judging import Judgement, LineJudge, Word, batches
from lit_unlearn.evaluation.logs_rows import CSVRows
from lit_unlearn.evaluation.logs_scoring import Known, score_log
from lit_unlearn.evaluation.logs_views import Page, Terminal
from tests.anomaly_data import trainer
from tests.logs_data import METHODS, build_method, small_log

TEXTS = ["disk sda failed", "disk sdb mounted", "job done", "job <b>done</b>"]


@pytest.fixture(scope="module")
def data() -> Any:
    return small_log(num_lines=600)


def untrained(name: str, data: Any, **values: Any) -> Any:
    """A method with the quantiles 0, .001, ..., 1 of held-out scores."""
    method: Any = build_method(name, data, **values)
    method.unlabeled_quantiles.copy_(torch.linspace(0, 1, 1001))
    return method.eval()


class Lengths(LightningModule):
    """A token's score is its number of characters, a line's their mean; counts the lines it scores."""

    def __init__(self, tokenizer: Tokenizer, quantiles: Tensor | None = None):
        super().__init__()
        self.lengths = torch.tensor(
            [float(len(tokenizer.id_to_token(i).removeprefix("##"))) for i in range(tokenizer.get_vocab_size())]
        )
        self.unlabeled_quantiles = torch.linspace(0, 10, 1001) if quantiles is None else quantiles
        self.num_scored = 0

    def token_scores(self, tokens: Tensor) -> Tensor:
        self.num_scored += len(tokens)
        return self.lengths[tokens] * ((tokens != 0) & (tokens != CLS) & (tokens != SEP))


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_wordpiece(TEXTS, 200, [], 16)


def judge_of(tokenizer: Tokenizer, **values: Any) -> LineJudge:
    return LineJudge(Lengths(tokenizer, **values), tokenizer, trainer())


class Lines(LogReader):
    """Given lines in the place of a file, `size` at a time."""

    def __init__(self, lines: list[str] | Iterator[str], size: int = 3):
        super().__init__("given")
        self.lines, self.size = iter(lines), size

    def chunks(self, most: int) -> Iterator[list[str]]:
        while chunk := [line for _, line in zip(range(self.size), self.lines, strict=False)]:
            self.num_lines += len(chunk)
            yield chunk


class Recorder:
    """An output that keeps what it is given."""

    def __init__(self, top: int = 0):
        self.top, self.rows, self.ended = top, [], []

    def form(self, text: str, judgement: Judgement) -> float:
        return judgement.score

    def write(self, first: int, messages: list[str], known: list[Known | None]) -> None:
        self.rows += [(first + i, m, k and k.form) for i, (m, k) in enumerate(zip(messages, known, strict=True))]

    def end(self, top: list[tuple[str, Known]], judge: LineJudge, summary: str) -> None:
        self.ended = [(text, known.count, known.first) for text, known in top]


def scored(judge: LineJudge, lines: list[str], output: Any, layout: str = "plain", size: int = 3, **config: Any) -> str:
    return score_log(judge, Lines(lines, size), named(layout, **config), str, output, show=False)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "deep_log"])
def test_scores_are_those_of_the_method_line_by_line(name: str, data):
    method = untrained(name, data)
    if hasattr(method, "fit_lines"):
        method.trainer = type("Fitted", (), {"datamodule": data})
        method.fit_lines(*fitted_on(data))
        method.trainer = None
    texts = [data.texts[i] for i in range(0, len(data.texts), 3)] + ["never met\u4e2d before", ""]
    judged = LineJudge(method, data.tokenizer, trainer())(texts)
    no, one = torch.zeros(1, dtype=torch.bool), torch.ones(1, dtype=torch.int64)
    for text, judgement in zip(texts, judged, strict=True):
        with torch.no_grad():
            alone = method.line_scores(LineBatch(padded(encode(data.tokenizer, [text])), no, one, [text]))
        assert judgement.score == pytest.approx(alone.item(), abs=1e-6)
        assert all(text[word.start : word.end].strip() for word in judgement.words)
    assert any(judgement.words for judgement in judged) == hasattr(method, "token_scores")


def fitted_on(data: Any) -> tuple[list[str], Any]:
    distinct, count = np.unique(data.line[data.train], return_counts=True)
    return [data.texts[i] for i in distinct], count


def test_batches_hold_all_lines_once_with_little_padding(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs_judging, "TOKENS", 1000)
    lengths = np.random.default_rng(0).geometric(0.05, 5000).clip(3, 128)
    parts = list(batches(lengths))
    assert sorted(np.concatenate(parts).tolist()) == list(range(5000))
    sizes = [len(part) * int(lengths[part].max()) for part in parts]
    assert max(sizes) <= 1000
    assert lengths.sum() > 0.95 * sum(sizes)
    assert [part.tolist() for part in batches(np.array([2000, 1]))] == [[1], [0]]
    assert list(batches(np.array([], np.int64))) == []


def test_words_are_those_of_the_text_with_the_highest_score_of_their_tokens(tokenizer: Tokenizer):
    text = "disk zzz \u4e2d failed"
    (judgement,) = judge_of(tokenizer)([text])
    tokens = tokenizer.encode(text, add_special_tokens=False)
    longest: dict[str, int] = {}
    for token, (start, end) in zip(tokens.tokens, tokens.offsets, strict=True):
        word = next(word for word in text.split() if text.index(word) <= start < text.index(word) + len(word))
        longest[word] = max(longest.get(word, 0), len(token.removeprefix("##")))
        assert end <= len(text)
    assert {text[word.start : word.end]: word.score for word in judgement.words} == longest
    assert list(longest) == text.split() and longest["\u4e2d"] == len("[UNK]")
    assert judgement.suspicious(1)[0].score == max(longest.values())


def test_percentiles_and_verdicts_by_hand(tokenizer: Tokenizer):
    quantiles = torch.cat([torch.zeros(500), torch.ones(499), torch.tensor([5.0, 6.0])])
    judge = judge_of(tokenizer, quantiles=quantiles)
    # 0 is above none; between 0 and 1 it is above quantiles 0 to .499; between 1 and 5 above all to .998
    percentiles = judge.percentiles(np.array([0.0, 0.5, 1.0, 1.0 + 1e-7, 2.0, 5.0, 5.1, 6.5]))
    assert percentiles == [0.0, 49.9, 49.9, 49.9, 99.8, 99.8, 99.9, 100.0]
    words = {score: text for text, score in ((text, judge([text])[0].score) for text in TEXTS)}
    assert judge([words[max(words)]])[0].anomalous == (max(words) > 5.0)
    judge = judge_of(tokenizer, quantiles=torch.full((1001,), torch.nan))
    assert (judge(["job"])[0].percentile, judge(["job"])[0].anomalous) == (None, None)


def test_a_text_is_scored_once_and_rows_come_in_order(tokenizer: Tokenizer):
    judge, output = judge_of(tokenizer), Recorder()
    lines = [*TEXTS[:2], "", *TEXTS, *TEXTS]
    summary = scored(judge, lines, output)
    assert judge.method.num_scored == len(TEXTS)
    scores = {text: judgement.score for text, judgement in zip(TEXTS, judge(TEXTS), strict=True)}
    assert output.rows == [(i, line, scores.get(line)) for i, line in enumerate(lines, 1)]
    assert summary == "10 lines scored, 0 anomalous, 1 not in the format"


@pytest.mark.parametrize("remembered", [4, 1000])
def test_what_is_forgotten_changes_nothing_but_work(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, remembered: int
):
    monkeypatch.setattr(logs_scoring, "REMEMBERED_TEXTS", remembered)
    monkeypatch.setattr(logs_scoring, "REMEMBERED_MESSAGES", remembered)
    lines = ["a" * i for i in np.random.default_rng(0).integers(1, 16, 200)]
    judge, output = judge_of(tokenizer), Recorder(top=3)
    scored(judge, lines, output, size=5)
    assert (judge.method.num_scored > 15) == (remembered == 4)
    score = {text: judgement.score for text, judgement in zip(set(lines), judge(list(set(lines))), strict=True)}
    assert [row[2] for row in output.rows] == [score[line] for line in lines]
    ranked = sorted(score, key=lambda text: (-score[text], lines.index(text)))[:3]
    assert output.ended == [(text, Counter(lines)[text], lines.index(text) + 1) for text in ranked]


def test_memory_does_not_grow_with_the_log(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(logs_scoring, "REMEMBERED_TEXTS", 1000)
    monkeypatch.setattr(logs_scoring, "REMEMBERED_MESSAGES", 1000)
    monkeypatch.setattr(LineJudge, "__call__", lambda self, texts: [Judgement(1.0, None, None, [])] * len(texts))
    judge, peaks = judge_of(tokenizer), []
    for num_lines in (4000, 4000, 24_000):
        tracemalloc.start()
        with open(os.devnull, "w") as file:
            lines = (f"all different {i:9}" for i in range(num_lines))
            score_log(judge, Lines(lines, 500), named("plain"), str, CSVRows(file), show=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.1 * peaks[1]  # the first run also fills what Python keeps for later


def test_a_score_that_is_not_finite(tokenizer: Tokenizer):
    judge = judge_of(tokenizer)
    judge.method.lengths[tokenizer.token_to_id("failed") or -1] = torch.nan
    with pytest.raises(RunFailed, match=r"the score of 'disk sda failed' is nan; training diverged"):
        judge(TEXTS)


def test_a_format_that_no_line_fits(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch):
    lines = [f"no time here {i}" for i in range(10)]
    message = r"input=given: none of the first {} lines fits the format .*\(columns\); give .* or layout=plain"
    with pytest.raises(UserError, match=message.format(10)):
        scored(judge_of(tokenizer), lines, Recorder(), "columns", message=2, time=1)
    monkeypatch.setattr(logs_scoring, "TRIED", 4)
    with pytest.raises(UserError, match=message.format(6)):
        scored(judge_of(tokenizer), lines, Recorder(), "columns", message=2, time=1)
    output = Recorder()
    summary = scored(judge_of(tokenizer), [*lines[:2], "x 17 job done", *lines], output, "columns", message=2, time=1)
    assert summary == "1 lines scored, 0 anomalous, 12 not in the format"
    assert output.rows[1:3] == [(2, "no time here 1", None), (3, "job done", pytest.approx(3.5))]


def test_what_cannot_score_single_lines(data):
    message = "checkpoint: DeepLog judges a line by the lines before it and scores no single lines; .* log_electra"
    with pytest.raises(UserError, match=message):
        LineJudge(untrained("deep_log", data), data.tokenizer, trainer())
    method = untrained("log_electra", data)
    with pytest.raises(UserError, match="checkpoint: holds no tokenizer; use a checkpoint of"):
        LineJudge(method, None, trainer())
    other = train_wordpiece(TEXTS, 60, [], 16)
    sizes = f"its tokenizer, of {other.get_vocab_size()} tokens, .* its network, of {data.vocab_size} tokens;"
    with pytest.raises(UserError, match=sizes):
        LineJudge(method, other, trainer())


AWKWARD = ['a "quoted" word', "a,b", "a\rb", "caf\u00e9 \u4e2d", "  blanks  ", "<script>alert(1)</script>", "", "plain"]


def score_file(data: Any, folder: Path, output: str | None, lines: list[str] = AWKWARD, **method: Any) -> str:
    (folder / "new.log").write_bytes("\n".join(lines).encode() + b"\n\xff broken utf-8")
    return logs.score(
        untrained("log_electra", data, **method), data, trainer(), str(folder / "new.log"), output, "plain"
    )


def test_csv_and_json_lines_say_the_same(data, tmp_path: Path):
    for name in ("s.csv", "s.jsonl"):
        summary = score_file(data, tmp_path, str(tmp_path / name))
        assert re.fullmatch(
            rf"8 lines scored, \d+ anomalous, 1 not in the format, 1 with invalid UTF-8 replaced: .*{name}", summary
        )
    with (tmp_path / "s.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    objects = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert [row["message"] for row in table] == [*AWKWARD, "\ufffd broken utf-8"]
    assert [row["line"] for row in table] == [str(i) for i in range(1, 10)]
    for row, one in zip(table, objects, strict=True):
        tokens = " ".join(f"{word}:{score:.3g}" for word, score in one["tokens"])
        assert (row["message"], row["verdict"], row["tokens"]) == (one["message"], one["verdict"], tokens)
        assert (row["line"], row["score"]) == (str(one["line"]), "" if one["score"] is None else f"{one['score']:.6g}")
        assert row["percentile"] == ("" if one["percentile"] is None else f"{one['percentile']:.1f}")
        scores = [score for _, score in one["tokens"]]
        assert len(scores) <= 3 and scores == sorted(scores, reverse=True)
    assert [row["verdict"] for row in table].count("unread") == 1 and table[6]["verdict"] == "unread"


def test_the_page_shows_texts_as_text_and_needs_no_network(data, tmp_path: Path):
    score_file(data, tmp_path, str(tmp_path / "s.html"), [*AWKWARD, "a,b", "a,b"])
    page = (tmp_path / "s.html").read_text()
    assert "<script" not in page and "http" not in page and "url(" not in page
    rows = re.findall(r"<tr.*?</tr>", page)[1:]
    texts = [re.sub("<.*?>", "", row.split('class="text">')[1]) for row in rows]
    assert "a,b" in texts and any(text.startswith("&lt;script&gt;alert(") for text in texts)
    cells = next(re.findall(r'"number">(.*?)<', row) for row, text in zip(rows, texts, strict=True) if text == "a,b")
    assert cells[2:] == ["3", "2"]
    scores = [float(re.findall(r'"number">(.*?)<', row)[0]) for row in rows]
    assert scores == sorted(scores, reverse=True) and len(rows) == 8
    assert "<mark" in page and 'title="' in page


def test_highlights_by_hand():
    class Judge:
        def __call__(self, texts: list[str]) -> list[Judgement]:
            return [Judgement(2.0, 99.95, True, [Word(0, 3, 1.0), Word(4, 7, 5.0)])]

    top = [("abc d&f g", Known(Judgement(2.0, 99.95, True, []), None, 7))]
    file = io.StringIO()
    Page(file, "Anomalies in a<b").end(top, Judge(), "1 lines scored")  # type: ignore[arg-type]
    assert "<title>Anomalies in a&lt;b</title>" in file.getvalue()
    assert '<mark style="background: rgba(221, 51, 51, 0.00)" title="1">abc</mark> <mark style' in file.getvalue()
    assert '1.00)" title="5">d&amp;f</mark> g</td>' in file.getvalue() and '<tr class="anomalous">' in file.getvalue()
    file = io.StringIO()
    Terminal(file).end(top, Judge(), "1 lines scored")  # type: ignore[arg-type]
    assert file.getvalue().splitlines()[1].split()[:4] == ["2", "100.0", "0", "7"]
    assert file.getvalue().endswith("  [[abc]] [[d&f]] g\n")


def test_without_an_output_the_most_abnormal_texts_are_shown(data, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    score_file(data, tmp_path, None, [*(f"word{'x' * i} y" for i in range(30)), "bell\x07\x1b[2J"])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 21 and lines[0].split() == ["score", "percentile", "count", "first", "line", "text"]
    assert all("[[" in line for line in lines[1:]) and "\x1b" not in "".join(lines)


def test_an_output_of_another_kind(data, tmp_path: Path):
    with pytest.raises(UserError, match=r"output=.*s.txt: must end in .csv, .jsonl or .html, or be - for"):
        score_file(data, tmp_path, str(tmp_path / "s.txt"))
    assert [path.name for path in tmp_path.iterdir()] == ["new.log"]


def test_a_log_that_breaks_off_leaves_the_old_scores(data, tmp_path: Path):
    (tmp_path / "s.csv").write_text("old")
    (tmp_path / "new.gz").write_bytes(b"\x1f\x8b broken")
    with pytest.raises(UserError, match=r"new.gz: "):
        logs.score(untrained("log_electra", data), data, trainer(), str(tmp_path / "new.gz"), str(tmp_path / "s.csv"))
    assert (tmp_path / "s.csv").read_text() == "old" and len(list(tmp_path.iterdir())) == 2


@pytest.mark.timeout(60)
def test_a_line_of_a_pipe_is_scored_when_it_comes(data, monkeypatch: pytest.MonkeyPatch):
    (log_out, log_in), (scores_out, scores_in) = os.pipe(), os.pipe()
    stdin = type("Stdin", (), {"buffer": os.fdopen(log_out, "rb")})
    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(sys, "stdout", os.fdopen(scores_in, "w"))
    method, summaries = untrained("log_electra", data), []
    scoring = threading.Thread(
        target=lambda: summaries.append(logs.score(method, data, trainer(), "-", "-", "plain")), daemon=True
    )
    with os.fdopen(log_in, "wb", buffering=0) as log, os.fdopen(scores_out, newline="") as scores:
        scoring.start()
        assert scores.readline() == "line,score,percentile,verdict,tokens,message\n"
        for number, line in enumerate(["first", "second"], 1):
            log.write(f"{line}\nthe beginning of ".encode())
            assert scores.readline().startswith(f"{number},")  # the pipe is still open
        log.write(b"the end")
        log.close()
        assert scores.readline().endswith("the beginning of the end\n")
        scoring.join(20)
        sys.stdout.close()
    assert summaries and summaries[0].startswith("3 lines scored")


@pytest.fixture(scope="module")
def exported(data, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A method and the file it was exported to."""
    pytest.importorskip("onnxscript")
    method, folder = untrained("log_electra", data), tmp_path_factory.mktemp("exported")
    logs.export(method, data, folder / "detector.onnx")
    assert sorted(path.name for path in folder.iterdir()) == ["detector.json", "detector.onnx"]
    return method, folder / "detector.onnx"


def test_an_exported_detector_gives_the_same_scores(exported: tuple[Any, Path], data):
    onnxruntime = pytest.importorskip("onnxruntime")
    method, path = exported
    session = onnxruntime.InferenceSession(str(path))
    rng = np.random.default_rng(0)
    for num_lines, length in ((1, 3), (5, 48), (2, 17), (9, 6)):
        tokens = torch.from_numpy(rng.integers(5, data.vocab_size, (num_lines, length)))
        tokens[:, 0], tokens[:, -1] = CLS, SEP
        tokens[0, 2:] = torch.tensor([SEP] + [0] * (length - 3))
        of_tokens, scores = session.run(None, {"tokens": tokens.numpy()})
        with torch.no_grad():
            expected = method.line_scores(LineBatch(tokens, tokens[:, 0] < 0, tokens[:, 0], [""] * num_lines))
            assert of_tokens == pytest.approx(method.token_scores(tokens).numpy(), abs=1e-5)
        assert scores == pytest.approx(expected.numpy(), abs=1e-5)


def test_what_is_beside_an_exported_detector_makes_its_tokens(exported: tuple[Any, Path], data):
    beside = json.loads(exported[1].with_suffix(".json").read_text())
    tokenizer, pattern = Tokenizer.from_str(json.dumps(beside["tokenizer"])), re.compile(beside["pattern"], re.ASCII)
    for message in ["Node17 at 10.0.0.7:80 wrote /var/log/x.log", "0xdeadbeef 2005-06-03 12:00:01", "login"]:
        text = pattern.sub(lambda match: f" [{match.lastgroup.split('_')[0]}] ", message.lower())
        ids = [beside["tokens"]["begin"], *tokenizer.encode(" ".join(text.split())).ids, beside["tokens"]["end"]]
        assert [ids] == encode(data.tokenizer, [data.preprocess(message)])
    assert beside["threshold"] == pytest.approx(0.999, rel=1e-4) and beside["max_length"] == data.max_length


def test_what_cannot_be_exported(data, tmp_path: Path):
    with pytest.raises(UserError, match=r"export=.*a.pt: must end in .onnx"):
        logs.export(untrained("log_electra", data), data, tmp_path / "a.pt")
    with pytest.raises(UserError, match=r"export=.*a.onnx: LogBERT has no discriminator of tokens, .* train log_el"):
        logs.export(untrained("log_bert", data), data, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []
