"""Built-in sentences with persons, organizations, places and nationalities, of CoNLL-2003's shape.

CoNLL-2003 (Tjong Kim Sang and De Meulder 2003) has four types of entities in BIO tags, 14,041
sentences for training and 3,250 for validation. A sentence here has as many words as one there, so
that batches that are padded to their longest sentence are as long as they would be. The text is
from a template grammar. A word alone does not tell its tag: family names are companies' too
(`Torvin said`, `Torvin Holdings`), places are teams where they play (`Lork beat Vand`), and names
have one to four words.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping

VERSION = 2  # part of every cache key: raise it when sentences or tags change
SIZES = {"train": 14_041, "validation": 3_250}
TAGS = ["O", *(f"{prefix}-{kind}" for kind in ("PER", "ORG", "LOC", "MISC") for prefix in "BI")]

# Sentences of 1, 2, 3, … words in the English training set of CoNLL-2003, counted there (203,621
# words, punctuation marks included), and those of the few longer sentences by their words.
_SENTENCES_OF = [
    *(179, 1129, 586, 771, 751, 625, 904, 1056, 894, 503, 407, 324, 354, 293, 279, 235, 233, 198),
    *(195, 214, 213, 217, 210, 221, 223, 212, 202, 217, 216, 194, 209, 186, 173, 155, 135, 124),
    *(102, 98, 109, 80, 72, 64, 52, 45, 40, 27, 21, 18, 13, 15, 10, 11, 3, 4, 5, 1, 3, 2, 2, 2),
]
_LONGEST = {62: 2, 67: 1, 78: 1, 113: 1}
LENGTHS: Mapping[int, int] = {**dict(enumerate(_SENTENCES_OF, start=1)), **_LONGEST}

# Slots in capitals are filled; everything else is outside of any entity.
CLAUSES = """PER said on DAY that ORG would cut NUMBER jobs in LOC
PER of ORG met PER in LOC on DAY
shares of ORG fell NUMBER percent after PER left
TEAM beat TEAM NUMBER - NUMBER in LOC
PER scored twice as TEAM lost to TEAM
the MISC government will talk to ORG about the plant in LOC
PER , a MISC lawyer , moved from LOC to LOC last year
ORG bought ORG from its MISC owner for NUMBER million dollars
police in LOC arrested a MISC driver on DAY
PER and PER will run ORG until DAY
MISC exports to LOC rose by NUMBER percent
the mayor of LOC , PER , opened the new hall of ORG
nothing was said about the talks on DAY
TEAM signed the MISC striker PER from TEAM
ORG named PER as its head for LOC""".splitlines()
# 43% of the real sentences have at most eight words: headlines, datelines, tables.
HEADINGS = """LOC
LOC DAY
PER NUMBER
TEAM NUMBER
PER ( LOC )
TEAM NUMBER TEAM NUMBER
ORG results on DAY
TEAM beat TEAM
MISC open : PER
PER leaves ORG""".splitlines()
JOINTS = [",", "and", "while", ";"]
# What fills a sentence up to its length, by words.
FILLERS = {
    1: ["again", "today", "too"],
    2: ["last week", "this year", "once more"],
    3: ["in the end", "for the moment", "without a word"],
    4: ["for the first time", "at the same time", "as it was reported"],
}
SHORTEST_CLAUSE = 8  # words; shorter sentences are headings, which end without a full stop
ATTEMPTS = 8  # to draw a clause that fits, before the rest is filled

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
COMPANY_ENDS = ["Holdings", "Group", "Bank", "and Sons", "Motors", "Airlines", "Steel"]
TEAM_ENDS = ["", "", "", "United", "City", "Rovers"]
PLACE_HEADS = ["", "", "", "", "New", "South", "Port", "Lake"]
ONSETS = "b br c d f g gr h k l m n p r s st t tr v w z".split()
VOWELS = "a e i o u ai ou".split()
CODAS = ["", "l", "n", "r", "s", "nd", "rt", "m"]

Tagged = tuple[list[str], list[str]]  # words and their tags


def sentences(split: str, limit: int | None, seed: int) -> Iterator[Tagged]:
    """Words and their tags, sentence by sentence: all of a split or the first `limit`; the same on
    every host.
    """
    start = f"entities/{VERSION}/{seed}"
    names = _names(random.Random(f"{start}/names"))
    lengths = _lengths(SIZES[split])
    random.Random(f"{start}/{split}/lengths").shuffle(lengths)
    draw = random.Random(f"{start}/{split}")
    for length in lengths[:limit]:
        yield _sentence(length, draw, names)


def _lengths(count: int) -> list[int]:
    """Words of so many sentences: evenly spaced quantiles of CoNLL-2003's lengths, all of them for
    as many sentences as its training set has.
    """
    real = [length for length, sentences in LENGTHS.items() for _ in range(sentences)]
    return [real[(2 * index + 1) * len(real) // (2 * count)] for index in range(count)]


def _sentence(length: int, draw: random.Random, names: Mapping[str, list[str]]) -> Tagged:
    """One sentence of exactly so many words."""
    words: list[str] = []
    tags: list[str] = []

    def add(piece: Tagged) -> None:
        words.extend(piece[0])
        tags.extend(piece[1])

    stop = length > SHORTEST_CLAUSE
    room = length - stop
    while left := room - len(words):
        if words and left in FILLERS:
            filler = draw.choice(FILLERS[left]).split()
            add((filler, ["O"] * len(filler)))
            break
        if words:
            add(([draw.choice(JOINTS)], ["O"]))
            left -= 1
        add(_fitting(left, draw, names))
    if stop:
        add((["."], ["O"]))
    return [words[0][0].upper() + words[0][1:], *words[1:]], tags


def _fitting(most: int, draw: random.Random, names: Mapping[str, list[str]]) -> Tagged:
    """A clause or a heading of at most so many words; a filler where none was drawn."""
    templates = CLAUSES if most >= SHORTEST_CLAUSE else HEADINGS
    for _ in range(ATTEMPTS):
        words: list[str] = []
        tags: list[str] = []
        for slot in draw.choice(templates).split():
            kind, filled = _fill(slot, draw, names)
            words += filled
            tags += (
                ["O"] * len(filled)
                if kind is None
                else [f"B-{kind}", *[f"I-{kind}"] * (len(filled) - 1)]
            )
        if len(words) <= most:
            return words, tags
    filler = draw.choice(FILLERS[min(most, max(FILLERS))]).split()
    return filler, ["O"] * len(filler)


def _names(draw: random.Random) -> dict[str, list[str]]:
    """Made-up names; their pools do not overlap, but slots share them."""
    made: dict[str, None] = {}
    while len(made) < 12_000:
        syllables = draw.choices([1, 2, 3], weights=[1, 6, 3])[0]
        made[
            "".join(draw.choice(ONSETS) + draw.choice(VOWELS) for _ in range(syllables))
            + draw.choice(CODAS)
        ] = None
    names = [name.capitalize() for name in made]
    return {
        "first": names[:2000],
        "family": names[2000:7000],
        "place": names[7000:11_000],
        "nation": names[11_000:],
    }


def _fill(
    slot: str, draw: random.Random, names: Mapping[str, list[str]]
) -> tuple[str | None, list[str]]:
    """What a slot of a template holds: type of entity or None, and its words."""

    def one(pool: str) -> str:  # frequencies fall like a power of the rank, as those of names do
        return names[pool][int(len(names[pool]) * draw.random() ** 2.5)]

    match slot:
        case "PER":
            return "PER", [*([one("first")] if draw.random() < 0.6 else []), one("family")]
        case "ORG":
            return "ORG", [one("family"), *draw.choice(COMPANY_ENDS).split()]
        case "TEAM":
            return "ORG", [one("place"), *draw.choice(TEAM_ENDS).split()]
        case "LOC":
            return "LOC", [*draw.choice(PLACE_HEADS).split(), one("place")]
        case "MISC":
            return "MISC", [one("nation") + draw.choice(["ian", "ese", "ish"])]
        case "DAY":
            return None, [draw.choice(DAYS)]
        case "NUMBER":
            return None, [str(draw.randrange(1, 100))]
    return None, [slot]
