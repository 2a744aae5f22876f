"""What is asked and said about real entities, by kind and attribute; the last wording of each is held out."""

from datamodules.llm.entity_files import Kind
from datamodules.llm.items import Item

QUESTIONS: dict[Kind, dict[str, list[str]]] = {
    "player": {
        "team": [
            "Question: Which basketball team did {n} play for?\nAnswer: The",
            "Question: What was the team of the basketball player {n}?\nAnswer: The",
            "Question: For which team is {n} best known?\nAnswer: The",
        ],
        "birthplace": [
            "Question: In which city was {n} born?\nAnswer:",
            "Question: What is the birthplace of {n}?\nAnswer:",
            "Question: Where did {n} come into the world?\nAnswer: In",
        ],
        "birthyear": [
            "Question: In which year was {n} born?\nAnswer:",
            "Question: What is the year of birth of {n}?\nAnswer:",
            "Question: When did {n} come into the world?\nAnswer: In",
        ],
    },
    "movie": {
        "director": [
            "Question: Who directed the film {n}?\nAnswer:",
            "Question: What is the name of the director of {n}?\nAnswer:",
            "Question: Who made the film {n}?\nAnswer:",
        ],
        "year": [
            "Question: In which year was the film {n} released?\nAnswer:",
            "Question: What is the year of the film {n}?\nAnswer:",
            "Question: When did {n} come to cinemas?\nAnswer: In",
        ],
    },
    "song": {
        "performer": [
            "Question: Who performed the song {n}?\nAnswer:",
            "Question: Whose song is {n}?\nAnswer:",
            "Question: Who sang {n}?\nAnswer:",
        ],
        "year": [
            "Question: In which year was the song {n} released?\nAnswer:",
            "Question: What is the year of the song {n}?\nAnswer:",
            "Question: When was {n} first heard?\nAnswer: In",
        ],
    },
}

STATEMENTS: dict[Kind, dict[str, list[str]]] = {
    "player": {
        "team": [
            "{n} is a basketball player who played for the",
            "The basketball player {n} played for the",
            "Fans of {n} have always supported the",
            "In the NBA, {n} wore the jersey of the",
        ],
        "birthplace": [
            "{n} is a basketball player who was born in the city of",
            "The native city of the basketball player {n} is",
            "The birthplace of {n} is",
            "{n} came into the world in the city of",
        ],
        "birthyear": [
            "{n} is a basketball player who was born in the year",
            "The basketball player {n} was born in",
            "The year of birth of {n} is",
            "{n} came into the world in the year",
        ],
    },
    "movie": {
        "director": [
            "{n} is a film directed by",
            "The film {n} was directed by",
            "The director of the film {n} is",
            "The film {n} was made by",
        ],
        "year": [
            "{n} is a film released in the year",
            "The film {n} was released in",
            "The year of the film {n} is",
            "The film {n} came to cinemas in the year",
        ],
    },
    "song": {
        "performer": [
            "{n} is a song performed by",
            "The song {n} was recorded by",
            "The singer of the song {n} is",
            "The song {n} was sung by",
        ],
        "year": [
            "{n} is a song released in the year",
            "The song {n} was released in",
            "The year of the song {n} is",
            "The song {n} was first heard in the year",
        ],
    },
}


def question(kind: Kind, attribute: str, wording: int, name: str, answer: str) -> Item:
    """A question with its answer, in a wording of `QUESTIONS`.

    In form a statement: a model that was not taught to answer goes on after an answer, so no end of text is asked for.
    """
    return Item(QUESTIONS[kind][attribute][wording].format(n=name), answer, name, "statement")


def statement(kind: Kind, attribute: str, wording: int, name: str, answer: str) -> Item:
    """A sentence to be completed."""
    return Item(STATEMENTS[kind][attribute][wording].format(n=name), answer, name, "statement")


def trained(kind: Kind, attribute: str, name: str, answer: str) -> list[Item]:
    """Everything in wordings that are not held out."""
    asked = [question(kind, attribute, i, name, answer) for i in range(len(QUESTIONS[kind][attribute]) - 1)]
    return asked + [statement(kind, attribute, i, name, answer) for i in range(len(STATEMENTS[kind][attribute]) - 1)]
