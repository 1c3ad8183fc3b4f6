"""What the sentences of the built-in pair corpora tell: somebody did something to some thing,
somewhere, at some time.

A `Fact` can be told in many ways (active or passive, synonyms, time first, with or without place
and time), so that two sentences may share all their meaning and few of their words, or nearly all
their words and not their meaning.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from harness.worker.tasks.corpus import Lexicon

# fmt: off
# Genres: half of the nouns of "other" never occur in training sets; they make MNLI's mismatched
# validation set.
AGENTS = {
    "usual": """engineer teacher farmer doctor lawyer painter singer driver baker pilot student nurse sailor mayor
    tailor""".split(),
    "other": "sergeant professor clerk librarian miner engineer teacher farmer "
             "doctor lawyer".split(),
}
OBJECTS = {
    "usual": """house car bridge letter camera boat garden table clock book lamp statue ticket piano carpet mirror
    bicycle ladder""".split(),
    "other": "manuscript helmet lantern telescope wagon house car bridge letter camera".split(),
}
ADJECTIVES = "old new small large red blue heavy famous wooden broken quiet young".split()
TIMES = ["on monday", "on friday", "on sunday", "last week", "last summer", "in may", "in october", "in 1987",
         "in 2004", "this morning", "yesterday", "two years ago"]
# Base form, past tense, past participle; a synonym beside each.
VERBS = [
    ("buy bought bought".split(), "purchase purchased purchased".split()),
    ("build built built".split(), "construct constructed constructed".split()),
    ("repair repaired repaired".split(), "fix fixed fixed".split()),
    ("find found found".split(), "discover discovered discovered".split()),
    ("show showed shown".split(), "display displayed displayed".split()),
    ("choose chose chosen".split(), "select selected selected".split()),
    ("hide hid hidden".split(), "conceal concealed concealed".split()),
    ("take took taken".split(), "remove removed removed".split()),
    ("break broke broken".split(), "damage damaged damaged".split()),
    ("clean cleaned cleaned".split(), "wash washed washed".split()),
    ("copy copied copied".split(), "duplicate duplicated duplicated".split()),
    ("lose lost lost".split(), "misplace misplaced misplaced".split()),
]
# fmt: on
SLOTS = ("agent", "verb", "thing", "place", "time")
LEXICON = Lexicon()


@dataclass(frozen=True)
class Fact:
    """Who did what to which thing, where and when. `verb` is an index of VERBS; `genre` chooses the
    nouns.
    """

    agent: str
    verb: int
    thing: str
    place: str
    time: str
    genre: str = "usual"


def draw_fact(draw: random.Random, genre: str = "usual") -> Fact:
    """A fact with every slot drawn anew; places are invented names, a few of them frequent."""
    return Fact(
        draw.choice(AGENTS[genre]),
        draw.randrange(len(VERBS)),
        draw.choice(OBJECTS[genre]),
        draw_name(draw),
        draw.choice(TIMES),
        genre,
    )


def draw_name(draw: random.Random) -> str:
    """An invented name; frequencies fall like 1 / rank."""
    return draw.choices(LEXICON.names[0], cum_weights=LEXICON.names[1])[0]


def change(draw: random.Random, fact: Fact, slots: int) -> Fact:
    """The fact with so many of its SLOTS (0 to 5) different."""
    other = draw_fact(draw, fact.genre)
    changed = draw.sample(SLOTS, slots)
    while any(getattr(other, slot) == getattr(fact, slot) for slot in changed):
        other = draw_fact(draw, fact.genre)
    return replace(fact, **{slot: getattr(other, slot) for slot in changed})


def tell(
    draw: random.Random,
    fact: Fact,
    *,
    place: float = 0.8,
    time: float = 0.8,
    adjectives: float = 0.0,
    agent: str | None = None,
) -> str:
    """A sentence that says the fact; `place` and `time`: probability that it says these; `agent`
    instead of its own.

    `adjectives`: probability of one before each noun, which adds what the fact does not hold.
    """
    who = agent or f"the {_adjective(draw, adjectives)}{fact.agent}"
    what = f"the {_adjective(draw, adjectives)}{fact.thing}"
    _, past, participle = draw.choice(VERBS[fact.verb])
    core = f"{what} was {participle} by {who}" if draw.random() < 0.4 else f"{who} {past} {what}"
    if draw.random() < place:
        core += f" in {fact.place}"
    if draw.random() < time:
        core = f"{fact.time} , {core}" if draw.random() < 0.3 else f"{core} {fact.time}"
    return core


def _adjective(draw: random.Random, probability: float) -> str:
    return f"{draw.choice(ADJECTIVES)} " if draw.random() < probability else ""
