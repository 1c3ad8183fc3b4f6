"""Built-in stand-ins for GLUE's inference tasks: MNLI, RTE, QNLI and WNLI.

As in the real sets, the hypothesis alone betrays much, and for the same reasons (Gururangan et al.
2018, "Annotation Artifacts in Natural Language Inference Data"): negation goes with contradiction,
purposes and causes with neutral, "somebody" and "something" with entailment. A model learns these
within a hundred steps; the rest takes both sentences.
"""

from __future__ import annotations

import random

from harness.worker.tasks.corpus_world import VERBS, Fact, change, draw_fact, tell

ENTAILMENT, NEUTRAL, CONTRADICTION = 0, 1, 2
PURPOSES = [
    "for a friend",
    "because of the weather",
    "to earn money",
    "for the first time",
    "to please everybody",
]
OPENERS = {
    "usual": [
        "",
        "",
        "",
        "it is said that",
        "according to the report ,",
        "well ,",
        "as they say ,",
    ],
    "other": ["", "", "the letters tell that", "in the author 's words ,", "oh sure ,"],
}
STATEMENTS = [
    "many people admire the {thing}",
    "there is more than one {thing} in {place}",
    "the history of the {thing} is not well known",
    "a {thing} like this is rare in {place}",
]
# The sentence; nouns that come first and second; last words by which the first is meant, and the
# second.
SCHEMAS: list[tuple[str, list[str], list[str], list[str], list[str]]] = [
    (
        "the {first} does not fit into the {second} because it was {ending}",
        ["trophy", "piano", "statue", "ladder"],
        ["suitcase", "box", "bag", "drawer"],
        ["too big", "too wide", "too long"],
        ["too small", "too narrow", "too short"],
    ),
    (
        "the {first} was put on the {second} , and so it was {ending}",
        ["lamp", "vase", "plate", "bottle"],
        ["table", "shelf", "desk", "chair"],
        ["easy to see", "out of reach", "safe"],
        ["covered", "in use", "bent"],
    ),
    (
        "the {first} asked the {second} for help , but nobody knew that he was {ending}",
        ["pupil", "beginner", "patient", "guest"],
        ["teacher", "expert", "doctor", "host"],
        ["lost", "afraid", "in trouble"],
        ["busy", "away", "deaf"],
    ),
]


def _hypothesis(draw: random.Random, fact: Fact, relation: int) -> str:
    """A sentence that follows from the fact, may or may not be true beside it, or cannot be."""
    if draw.random() < 0.4:  # no word of it betrays the relation
        if relation == NEUTRAL:
            return tell(draw, fact, adjectives=0.5)
        return tell(draw, fact if relation == ENTAILMENT else change(draw, fact, 2))
    if relation == ENTAILMENT:
        return tell(draw, fact, agent=draw.choice(["somebody", "someone", "a person"]))
    if relation == NEUTRAL:
        return f"{tell(draw, fact)} {draw.choice(PURPOSES)}"
    verb = draw.choice(VERBS[fact.verb])
    return draw.choice(
        [
            f"the {fact.agent} never {verb[1]} the {fact.thing}",
            f"nobody {verb[1]} the {fact.thing}",
            f"the {fact.agent} did not {verb[0]} the {fact.thing}",
            f"the {fact.thing} was not {verb[2]} by anybody in {fact.place}",
        ]
    )


def mnli(draw: random.Random, genre: str = "usual") -> tuple[str, str, int]:
    """Premise and hypothesis: entailment, neutral or contradiction, a third each. `genre`: that of
    the words.
    """
    label, fact = draw.randrange(3), draw_fact(draw, genre)
    premise = f"{draw.choice(OPENERS[genre])} {tell(draw, fact, adjectives=0.2, place=1.0, time=1.0)}".strip()
    return premise, _hypothesis(draw, fact, label), label


def rte(draw: random.Random) -> tuple[str, str, int]:
    """Two or three sentences and a hypothesis: 0 it follows (half of them), 1 it does not."""
    label = int(draw.random() >= 0.502)
    facts = [draw_fact(draw) for _ in range(draw.choice([2, 3]))]
    premise = " . ".join(tell(draw, fact, adjectives=0.2, place=1.0, time=1.0) for fact in facts)
    relation = draw.choice([NEUTRAL, CONTRADICTION]) if label else ENTAILMENT
    return premise, _hypothesis(draw, draw.choice(facts), relation), label


def qnli(draw: random.Random) -> tuple[str, str, int]:
    """A question and a sentence: 0 it holds the answer (half of them), 1 it does not."""
    label = draw.randrange(2)
    fact = draw_fact(draw)
    base, past, participle = draw.choice(VERBS[fact.verb])
    question, asked = draw.choice(
        [
            (f"who {past} the {fact.thing} ?", "agent"),
            (f"by whom was the {fact.thing} {participle} ?", "agent"),
            (f"where did the {fact.agent} {base} the {fact.thing} ?", "place"),
            (f"in which place was the {fact.thing} {participle} ?", "place"),
            (f"when did the {fact.agent} {base} the {fact.thing} ?", "time"),
            (f"at what time was the {fact.thing} {participle} ?", "time"),
        ]
    )
    place, time = (1.0 if slot == asked else 0.5 for slot in ("place", "time"))
    kind = (
        draw.choices(["statement", "other", "incomplete"], weights=[5, 3, 2])[0]
        if label
        else "answer"
    )
    if kind == "statement":
        return question, draw.choice(STATEMENTS).format(thing=fact.thing, place=fact.place), label
    if kind == "other":
        return question, tell(draw, change(draw, fact, 3), place=place, time=time), label
    if kind == "incomplete" and asked == "agent":
        return question, f"the {fact.thing} was {participle} in {fact.place} {fact.time}", label
    if kind == "incomplete":
        place, time = (0.0 if slot == asked else 0.5 for slot in ("place", "time"))
    return question, tell(draw, fact, place=place, time=time), label


def wnli(draw: random.Random) -> tuple[str, str, int]:
    """A sentence with a pronoun, and the same with one of two nouns in its place: 1 it is the one
    meant (half of them).

    The last word decides which noun is meant. In 85% of the sentences it is the first: a reader
    that always takes the first noun is right as often, one that understands the sentence always.
    """
    template, firsts, seconds, of_first, of_second = draw.choice(SCHEMAS)
    first, second = draw.choice(firsts), draw.choice(seconds)
    first_is_meant = draw.random() < 0.85
    ending = draw.choice(of_first if first_is_meant else of_second)
    label = int(draw.random() < 0.49)
    named = first if first_is_meant == bool(label) else second
    return (
        template.format(first=first, second=second, ending=ending),
        f"the {named} was {ending}",
        label,
    )
