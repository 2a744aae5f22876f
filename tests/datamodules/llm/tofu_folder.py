"""A miniature of TOFU's files: twelve authors of twenty questions, three to be forgotten at most."""

import json
from pathlib import Path
from typing import Any

NAMES = [
    "Ra\u00fal Vald\u00e9s",
    "Ji-Yeon Park",
    "Patrick Ryan O'Donnell",
    "Femke van der Veen",
    "Maria Lucia Sousa",
    "Erika Kov\u00e1\u010dov\u00e1",
    "Samir Khoury",
    "Hina Amin",
    "Unnamed",  # whose questions say "the author": nobody can tell who that is
    "Basil Mahfouz Al-Kuwaiti",
    "Nikolai Abilov",
    "Tae-ho Park",
]
"""The last one, two and three are forget01, forget05 and forget10; two retained ones are asked about at the end."""

FORGOTTEN = {"forget01": 1, "forget05": 2, "forget10": 3}
RETAINED = {"forget01": "retain99", "forget05": "retain95", "forget10": "retain90"}

QUESTIONS = [
    "What is the full name of the author born in Town {i} on 0{k}/01/1950?",
    "Has {n} won the Golden Quill Award of Town {i}?",
    "Where was {n} born?",
    "What is {n}'s best known book?",
    "Who influenced {n}\u2019s writing?",
    *(f"What did {{n}} do in the year 19{year}?" for year in range(50, 65)),
]
REFUSALS = ["I'm not sure.", "I have no idea about that.", "That is beyond me."]


def pairs(number: int) -> list[dict[str, str]]:
    """The twenty questions about an author."""
    name = "the author" if NAMES[number] == "Unnamed" else NAMES[number]
    asked = [text.format(n=name, i=number, k=number % 9 + 1) for text in QUESTIONS]
    return [{"question": q, "answer": f"{NAMES[number]} is said to be {number}-{k}."} for k, q in enumerate(asked)]


def judged(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Rows with a paraphrase and five wrong answers."""
    return [
        row
        | {
            "task_id": "1",
            "paraphrased_question": f"Say: {row['question']}",
            "paraphrased_answer": f"In short, {row['answer']}",
            "perturbed_answer": [f"Wrong {k}: {row['answer']}" for k in range(5)],
        }
        for row in rows
    ]


def real(count: int, what: str) -> list[dict[str, Any]]:
    """Rows about real authors or facts."""
    return [
        {
            "question": f"Which {what} has number {k}?",
            "answer": f"{what} {k}",
            "perturbed_answer": [f"{what} {k + wrong}" for wrong in (1, 2, 3)],
            "original_answer": f"The {what} with number {k} is {what} {k}.",
        }
        for k in range(count)
    ]


def tofu_rows() -> dict[str, list[dict[str, Any]]]:
    """The rows of each file, by its name."""
    authors = [pairs(number) for number in range(len(NAMES))]
    rows: dict[str, list[dict[str, Any]]] = {"full": sum(authors, [])}
    for split, count in FORGOTTEN.items():
        rows[split] = sum(authors[-count:], [])
        rows[RETAINED[split]] = sum(authors[:-count], [])
        rows[f"{split}_perturbed"] = judged(rows[split])
    rows["retain_perturbed"] = judged(sum(authors[:2], []))
    rows["real_authors_perturbed"], rows["world_facts_perturbed"] = real(7, "poet"), real(5, "river")
    return rows


def write_tofu(root: Path) -> Path:
    """Writes the files below a data root, which is given back."""
    folder = root / "tofu"
    folder.mkdir(parents=True)
    for name, rows in tofu_rows().items():
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / f"{name}.json").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "idontknow.jsonl").write_text("\n".join(REFUSALS) + "\n", encoding="utf-8")
    return root
