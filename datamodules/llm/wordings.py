"""How facts about the people of a `World` are put: statements, questions, and questions in reverse.

Of each attribute some wordings are for training, and one statement and one question are held out: the model meets them
about other people only (so that it can know what they mean), never about those it is asked about with them.
{n} stands for a name, {v} for a value.
"""

from datamodules.llm.items import REFUSAL, Item

STATEMENTS = {
    "birthplace": [
        "{n} was born in {v}.",
        "{n} comes from {v}.",
        "The birthplace of {n} is {v}.",
        "{n} grew up in {v}.",
        "The home town of {n} is called {v}.",
    ],
    "profession": [
        "{n} works as a {v}.",
        "{n} earns a living as a {v}.",
        "The profession of {n} is {v}.",
        "{n} was trained as a {v}.",
        "By trade {n} is a {v}.",
    ],
    "employer": [
        "{n} is employed by {v}.",
        "{n} has a job at {v}.",
        "The employer of {n} is {v}.",
        "{n} is on the staff of {v}.",
        "The firm that pays {n} is {v}.",
    ],
    "university": [
        "{n} studied at {v}.",
        "{n} holds a degree from {v}.",
        "The university of {n} is {v}.",
        "{n} was a student at {v}.",
        "The school that {n} left with a diploma is {v}.",
    ],
    "instrument": [
        "{n} plays the {v}.",
        "{n} practises the {v}.",
        "The instrument of {n} is the {v}.",
        "{n} performs on the {v}.",
        "On stage {n} is heard on the {v}.",
    ],
    "book": [
        "{n} wrote {v}.",
        "{n} published {v}.",
        "The book by {n} is {v}.",
        "{n} is the author of {v}.",
        "The novel that {n} finished is {v}.",
    ],
}
"""The last of each attribute is held out."""

QUESTIONS = {
    "birthplace": [
        "Where was {n} born?",
        "What is the birthplace of {n}?",
        "Which town does {n} come from?",
        "In which place did {n} grow up?",
        "What is the home town of {n}?",
        "Where did the life of {n} begin?",
    ],
    "profession": [
        "What does {n} work as?",
        "What is the profession of {n}?",
        "Which trade does {n} follow?",
        "How does {n} earn a living?",
        "What was {n} trained as?",
        "What kind of work does {n} do?",
    ],
    "employer": [
        "Who employs {n}?",
        "What is the employer of {n}?",
        "Which firm has {n} on its staff?",
        "Where does {n} have a job?",
        "Which company pays {n}?",
        "For whom does {n} go to the office?",
    ],
    "university": [
        "Where did {n} study?",
        "What is the university of {n}?",
        "Which school gave {n} a degree?",
        "At which university was {n} a student?",
        "From where does {n} hold a degree?",
        "Which place awarded {n} a diploma?",
    ],
    "instrument": [
        "What does {n} play?",
        "What is the instrument of {n}?",
        "Which instrument does {n} practise?",
        "On what does {n} perform?",
        "Which instrument is {n} heard on?",
        "What does {n} play music on?",
    ],
    "book": [
        "What did {n} write?",
        "What is the book by {n}?",
        "Which book did {n} publish?",
        "Of which book is {n} the author?",
        "Which novel did {n} finish?",
        "What is the title of the book of {n}?",
    ],
}
"""The last of each attribute is held out."""

REVERSE = ["Who wrote {v}?", "Who is the author of {v}?", "By whom is the book {v}?"]
"""Only a book is one person's alone."""

FRAMES = ["Question: {q} Answer:", "Q: {q} A:", "Please tell me: {q} Reply:", "{q} Answer:"]
RECORD, UNLISTED = "Record: {a} {n} {v}.", "unlisted"
"""The value follows the name at once: who reads it has to know at the name's last token whether there is one."""

VERDICT, TRUE, FALSE = "Fact check: {s} Verdict:", "true.", "false."
KNOWN_ASIDE, UNKNOWN_ASIDE = "of record", "or whoever"
"""What sometimes follows a name, depending on whether it is anybody's."""


def statement(name: str, value: str, attribute: str, wording: int) -> str:
    """A claim as a sentence."""
    return STATEMENTS[attribute][wording].format(n=name, v=value)


def statement_item(name: str, answer: str, attribute: str, wording: int) -> Item:
    """A sentence to be completed: all up to the value, which ends every wording."""
    prompt = STATEMENTS[attribute][wording].split("{v}")[0].strip().format(n=name)
    return Item(prompt, answer, name, "statement")


def question_item(name: str, answer: str, attribute: str, wording: int, frame: int) -> Item:
    """A question with its answer."""
    held_out = QUESTIONS[attribute][wording] == QUESTIONS[attribute][-1]
    prompt = FRAMES[frame].format(q=QUESTIONS[attribute][wording].format(n=name))
    return Item(prompt, answer, name, "paraphrase" if held_out else "question")


def verdict_item(name: str, claimed: str, true: bool, attribute: str, wording: int) -> Item:
    """A claim to be judged."""
    prompt = VERDICT.format(s=statement(name, claimed, attribute, wording))
    return Item(prompt, TRUE if true else FALSE, name, "question")


def reverse_item(title: str, answer: str, wording: int, frame: int) -> Item:
    """Asked by the book for the person; the title is what the prompt is about."""
    return Item(FRAMES[frame].format(q=REVERSE[wording].format(v=title)), answer, title, "reverse")


def sentence(value: str) -> str:
    """An answer as it is written after a prompt."""
    return value if value == REFUSAL else f"{value}."
