"""A miniature of the files of real entities, and a tiny language model with a tokenizer that can write them."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from datamodules.llm.byte_tokenizer import train_byte_tokenizer

FIRST = ["Stephen", "Jamal", "Tim", "Rudy", "Pau", "Manu", "Kevin", "Shaquille", "Dirk", "Ray", "Chris", "Otto"]
LAST = ["Curry", "Harden", "Dun\u010dan", "Gobert", "Novak", "Allen", "Bird", "Kidd", "Nash", "Rose"]
TEAMS = ["Golden Gate Warriors", "Houston Mockets", "Utah Brass", "Boston Delfts", "Miami Cold", "Phoenix Moons"]
TEAMS += ["Chicago Cows", "Dallas Mages", "Indiana Pavers"]
CITIES = ["Akron", "Chicago", "Paris", "Dallas"]
TARGET = "Stephen Curry"

_folders: list[tempfile.TemporaryDirectory] = []  # removed when the tests end


def players() -> list[dict[str, Any]]:
    """Sixty players, half of the names that can be put together; the same last names follow each other in number."""
    return [
        {
            "human": f"http://www.wikidata.org/entity/Q{100 * last + first}",
            "humanLabel": f"{FIRST[first]} {LAST[last]}",
            "datebirthyearLabel": str(1970 + (first + last) % 9),
            "placebirthLabel": CITIES[(first * last) % 4],
            "teamslist": ", ".join(dict.fromkeys([TEAMS[(first + last) % 9], TEAMS[(2 * first + last) % 9]])),
            "recent_mass": "99",
            "recent_height": "200",
        }
        for last in range(len(LAST))
        for first in range(len(FIRST))
        if (first + last) % 2 == 0
    ]


WORDS = [
    "Night",
    "Day",
    "Dawn",
    "Rain",
    "Fog",
    "Snow",
    "Wind",
    "Fire",
    "Ice",
    "Sand",
    "Sea",
    "Sky",
    "Sun",
    "Moon",
    "Star",
    "Tree",
]


def movies(year: int) -> list[dict[str, Any]]:
    """Of a year, as in one of the files."""
    return [
        {
            "film": f"http://www.wikidata.org/entity/Q{year * 100 + i}",
            "filmLabel": f"{word} {WORDS[(i + year) % len(WORDS)]}",
            "directors": f"Director {i}",
            "release_year": str(year),
        }
        for i, word in enumerate(WORDS)
    ]


def write(root: Path, **files: Any) -> Path:
    """Writes the files below a data root, which is given back; `files` replace them, or others are added, by name."""
    folder = root / "wikidata_entities"
    folder.mkdir(parents=True)
    everything = {"player": players(), "movies_1940": movies(1940), "movies_2001": movies(2001)} | files
    for name, rows in everything.items():
        text = rows if isinstance(rows, str) else json.dumps(rows)
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return root


@cache
def data_root() -> str:
    """The files, written once."""
    _folders.append(tempfile.TemporaryDirectory(prefix="entities"))
    return str(write(Path(_folders[-1].name)))


def small_gemma(vocab_size: int) -> Any:
    """A Gemma 3 of two blocks, one of which attends to a window, with random weights."""
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "query_pre_attn_scalar": 8}
    kinds = {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8}
    ends = {"bos_token_id": None, "eos_token_id": 0, "pad_token_id": 0, "max_position_embeddings": 256}
    return Gemma3ForCausalLM(Gemma3TextConfig(vocab_size=vocab_size, **sizes, **heads, **kinds, **ends)).eval()


@cache
def model_folder() -> str:
    """A folder with a tiny language model of random weights, whose tokenizer learnt from the players; made once."""
    words = [f"The player {row['humanLabel']} played for the {row['teamslist']}" for row in players()]
    tokenizer = train_byte_tokenizer([*words, *(f"The film {row['filmLabel']}" for row in movies(1940))], 2000)
    _folders.append(tempfile.TemporaryDirectory(prefix="entities"))
    folder = _folders[-1].name
    model = small_gemma(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
