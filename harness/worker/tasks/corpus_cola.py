"""The built-in stand-in for CoLA: sentences of a small grammar, 30% of them broken in one place.

What is broken is what linguists' examples are about: forms that do not exist ("childs", "eated",
"more taller"), agreement, reflexives, auxiliaries, word order, a missing or doubled article, a
filled gap in a question. About half of it shows in a single word; for the rest, words have to be
seen together.
"""

from __future__ import annotations

import random
from collections.abc import Callable

# fmt: off
# Singular, plural, plural by the regular ending, reflexive pronoun.
PEOPLE = [("child", "children", "childs", "itself"), ("man", "men", "mans", "himself"),
          ("woman", "women", "womans", "herself"), ("boy", "boys", "boyes", "himself"),
          ("girl", "girls", "girles", "herself"), ("teacher", "teachers", "teacheres", "himself")]
THINGS = [("mouse", "mice", "mouses"), ("goose", "geese", "gooses"), ("knife", "knives", "knifes"),
          ("leaf", "leaves", "leafs"), ("letter", "letters", "letteres"), ("apple", "apples", "applees")]
# Base form, third person, past tense, participle, past tense by the regular ending.
VERBS = [("see", "sees", "saw", "seen", "seed"), ("take", "takes", "took", "taken", "taked"),
         ("eat", "eats", "ate", "eaten", "eated"), ("buy", "buys", "bought", "bought", "buyed"),
         ("draw", "draws", "drew", "drawn", "drawed"), ("find", "finds", "found", "found", "finded"),
         ("choose", "chooses", "chose", "chosen", "choosed"), ("hide", "hides", "hid", "hidden", "hided")]
ADJECTIVES = [("tall", "taller"), ("old", "older"), ("small", "smaller"), ("long", "longer"), ("dark", "darker")]
PLACES = "in the garden|at home|near the river|after lunch|on monday|with care|without a word".split("|")
# fmt: on


def cola(draw: random.Random) -> tuple[str, int]:
    """A sentence; 1: acceptable (70%)."""
    label = int(draw.random() < 0.704)
    words = draw.choices([_transitive, _reflexive, _comparison, _question], weights=[4, 2, 2, 2])[
        0
    ](draw, bool(label))
    if draw.random() < 0.4:
        words = f"{words} {draw.choice(PLACES)}"
    return f"{words} {'?' if words.startswith('which') else '.'}", label


def _transitive(draw: random.Random, good: bool) -> str:
    person, thing, verb = draw.choice(PEOPLE), draw.choice(THINGS), draw.choice(VERBS)
    plural = draw.random() < 0.5
    who, what = person[plural], draw.choice(thing[:2])
    adjective = draw.choice(ADJECTIVES)[0]
    if good:
        form = draw.choice(
            [verb[2], verb[0] if plural else verb[1], f"{'have' if plural else 'has'} {verb[3]}"]
        )
        return f"the {who} {form} the {adjective} {what}"
    wrong: Callable[[], str] = draw.choices(
        [
            lambda: f"the {person[2]} {verb[2]} the {adjective} {what}",
            lambda: f"the {who} {verb[4]} the {adjective} {what}",
            lambda: f"the {who} {verb[2]} the {adjective} {thing[2]}",
            lambda: f"the {who} {verb[1] if plural else verb[0]} the {adjective} {what}",
            lambda: f"the {who} {'has' if plural else 'have'} {verb[3]} the {adjective} {what}",
            lambda: f"{who} the {verb[2]} the {adjective} {what}",
            lambda: f"the {who} {verb[2]} the {what} {adjective}",
            lambda: f"the the {who} {verb[2]} the {adjective} {what}",
            lambda: f"the {who} the {adjective} {what}",
        ],
        weights=[4, 4, 4, 2, 2, 2, 2, 2, 2],
    )[0]
    return wrong()


def _reflexive(draw: random.Random, good: bool) -> str:
    person, verb = draw.choice(PEOPLE), draw.choice(VERBS)
    plural = draw.random() < 0.5
    who, pronoun = person[plural], "themselves" if plural else person[3]
    if not good:
        others = (
            ["hisself", "theirselves"]
            if draw.random() < 0.6
            else ["myself", "yourself", "ourselves"]
        )
        pronoun = draw.choice(others)
    return f"the {who} {verb[2]} {pronoun}"


def _comparison(draw: random.Random, good: bool) -> str:
    one, other, adjective = draw.choice(PEOPLE), draw.choice(PEOPLE), draw.choice(ADJECTIVES)
    plural = draw.random() < 0.5
    form = adjective[1]
    if not good:
        form = draw.choice([f"more {adjective[1]}", f"most {adjective[1]}", f"much {adjective[0]}"])
    be = "are" if plural else "is"
    return f"the {one[plural]} {be} {form} than the {other[plural]}"


def _question(draw: random.Random, good: bool) -> str:
    person, thing, verb = draw.choice(PEOPLE), draw.choice(THINGS), draw.choice(VERBS)
    plural = draw.random() < 0.5
    core = f"which {thing[plural]} did the {draw.choice(person[:2])}"
    if good:
        return f"{core} {verb[0]}"
    filled = f"{core} {verb[0]} the {draw.choice(THINGS)[0]}"
    return draw.choice([filled, f"{core} {verb[4]}", f"{core} {verb[2]}"])
