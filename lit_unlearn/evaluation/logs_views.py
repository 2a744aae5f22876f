"""The most abnormal texts of a scored log, their suspicious words marked: as a page for a browser, or in a terminal."""

import html
from typing import TextIO

from lit_unlearn.evaluation.logs_judging import Judgement, LineJudge
from lit_unlearn.evaluation.logs_scoring import Known

PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 14px/1.5 sans-serif; margin: 2em; color: #222; background: #fff; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ text-align: left; vertical-align: top; padding: .2em .8em .2em 0; border-bottom: 1px solid #ddd; }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }}
td.text {{ font-family: monospace; overflow-wrap: anywhere; width: 100%; }}
tr.anomalous td:first-child {{ border-left: 4px solid #d33; padding-left: .4em; }}
mark {{ color: inherit; border-radius: 2px; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{summary}. The {num_texts} most abnormal distinct texts, after preprocessing; the darker a word, the more it adds to
the score (shown when the pointer rests on it). Lines with a red edge are above the .999 quantile of the held-out
training lines.</p>
<table>
<tr><th>score</th><th>percentile</th><th>count</th><th>first line</th><th>text</th></tr>
{rows}
</table>
</body>
</html>
"""


class Page:
    """One HTML file that needs nothing else: neither scripts nor the network.

    Args:
        file: to write.
        title: of the page.
    """

    top = 200

    def __init__(self, file: TextIO, title: str):
        self.file, self.title = file, title

    def form(self, text: str, judgement: Judgement) -> None:
        pass

    def write(self, first: int, messages: list[str], known: list[Known | None]) -> None:
        pass

    def end(self, top: list[tuple[str, Known]], judge: LineJudge, summary: str) -> None:
        judged = judge([text for text, _ in top])
        scores = [word.score for judgement in judged for word in judgement.words]
        least, most = min(scores, default=0.0), max(scores, default=1.0)
        rows = [_row(text, known, judgement, least, most) for (text, known), judgement in zip(top, judged, strict=True)]
        title = html.escape(self.title)
        self.file.write(
            PAGE.format(title=title, summary=html.escape(summary), num_texts=len(top), rows="\n".join(rows))
        )


def _row(text: str, known: Known, judgement: Judgement, least: float, most: float) -> str:
    cells = [f"{judgement.score:.4g}", _percentile(judgement), str(known.count), str(known.first)]
    numbers = "".join(f'<td class="number">{cell}</td>' for cell in cells)
    kind = ' class="anomalous"' if judgement.anomalous else ""
    return f'<tr{kind}>{numbers}<td class="text">{highlighted(text, judgement, least, most)}</td></tr>'


def highlighted(text: str, judgement: Judgement, least: float, most: float) -> str:
    """The text as HTML, words on a ground that darkens with their score, from `least` (none) to `most`."""
    parts, done = [], 0
    for start, end, score in judgement.words:
        style = f"background: rgba(221, 51, 51, {(score - least) / max(most - least, 1e-9):.2f})"
        parts.append(html.escape(text[done:start]))
        parts.append(f'<mark style="{style}" title="{score:.3g}">{html.escape(text[start:end])}</mark>')
        done = end
    return "".join(parts) + html.escape(text[done:])


class Terminal:
    """A table of the most abnormal texts, as wide as they are; the three most suspicious words of each are marked.

    Args:
        file: where it is printed.
    """

    top = 20

    def __init__(self, file: TextIO):
        self.file = file
        self.marks = ("\033[1;31m", "\033[0m") if file.isatty() else ("[[", "]]")

    def form(self, text: str, judgement: Judgement) -> None:
        pass

    def write(self, first: int, messages: list[str], known: list[Known | None]) -> None:
        pass

    def end(self, top: list[tuple[str, Known]], judge: LineJudge, summary: str) -> None:
        judged = judge([text for text, _ in top])
        print(f"{'score':>9} {'percentile':>10} {'count':>8} {'first line':>10}  text", file=self.file)
        for (text, known), judgement in zip(top, judged, strict=True):
            marked = self.marked(text, judgement)
            numbers = f"{judgement.score:>9.4g} {_percentile(judgement):>10} {known.count:>8} {known.first:>10}"
            print(f"{numbers}  {marked}", file=self.file)

    def marked(self, text: str, judgement: Judgement) -> str:
        """The text with marks around its suspicious words; control characters are left out, they would steer it."""
        parts, done = [], 0
        for start, end, _ in sorted(judgement.suspicious()):
            parts += [_printable(text[done:start]), self.marks[0], _printable(text[start:end]), self.marks[1]]
            done = end
        return "".join(parts) + _printable(text[done:])


def _percentile(judgement: Judgement) -> str:
    return "" if judgement.percentile is None else f"{judgement.percentile:.1f}"


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
