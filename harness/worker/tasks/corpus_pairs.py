"""Built-in stand-ins for GLUE's sentence-similarity tasks: MRPC, QQP and STS-B.

A pair tells the same fact twice in different words, or two facts that share some of their slots. As
in the real sets, single words betray much: a second sentence of another meaning often says so
("instead", "without a licence", "elsewhere"). A model learns these within a hundred steps; what is
above them takes comparing the two sentences.
"""

from __future__ import annotations

import random

from harness.worker.tasks.corpus_world import VERBS, Fact, change, draw_fact, tell

CONTRASTS = ["instead", "however", "only", "no longer", "on the contrary"]
CONDITIONS = ["without a licence", "as a beginner", "at night", "for free", "on my own"]
FAR, NEAR, SAME = (
    ["elsewhere ,", "in other news ,", "separately ,"],
    ["similarly ,", "later ,"],
    ["again ,", "indeed ,"],
)
# Ways to ask the same, by what is asked.
ASKED = [
    [
        "how do i {verb} a {thing} in {place} ?",
        "what is the best way to {verb} a {thing} in {place} ?",
    ],
    [
        "why do people {verb} a {thing} in {place} ?",
        "what is the reason to {verb} a {thing} in {place} ?",
    ],
    [
        "when should a {agent} {verb} a {thing} ?",
        "what is a good time for a {agent} to {verb} a {thing} ?",
    ],
    ["how much does it cost to {verb} a {thing} ?", "what is the price to {verb} a {thing} ?"],
    [
        "who can {verb} a {thing} for a {agent} ?",
        "is there anybody to {verb} a {thing} for a {agent} ?",
    ],
]


def mrpc(draw: random.Random) -> tuple[str, str, int]:
    """Two sentences of a newspaper; 1: the same is said (67%)."""
    label = int(draw.random() < 0.674)
    fact = draw_fact(draw)
    other = fact if label else change(draw, fact, draw.choice([1, 2]))
    second = tell(draw, other, adjectives=0.1)
    if draw.random() < (0.04 if label else 0.7):
        second = f"{draw.choice(CONTRASTS)} {second}"
    return tell(draw, fact, adjectives=0.3), second, label


def qqp(draw: random.Random) -> tuple[str, str, int]:
    """Two questions; 1: they have the same answer (37%)."""
    label = int(draw.random() < 0.369)
    fact, asked = draw_fact(draw), draw.randrange(len(ASKED))
    other, also = fact, asked
    if not label and draw.random() < 0.5:
        also = (asked + draw.randrange(1, len(ASKED))) % len(ASKED)
    elif not label:
        other = change(draw, fact, 2)
    second = _ask(draw, other, also)
    if draw.random() < (0.04 if label else 0.7):
        second = f"{second.removesuffix(' ?')} {draw.choice(CONDITIONS)} ?"
    return _ask(draw, fact, asked), second, label


def _ask(draw: random.Random, fact: Fact, asked: int) -> str:
    verb = draw.choice(VERBS[fact.verb])[0]
    return draw.choice(ASKED[asked]).format(
        verb=verb, thing=fact.thing, place=fact.place, agent=fact.agent
    )


def stsb(draw: random.Random) -> tuple[str, str, float]:
    """Two sentences and how alike they are: about one point of 5 for each slot they share, as five
    raters' mean.
    """
    shared = draw.choices(range(6), weights=[12, 15, 18, 20, 20, 15])[0]
    fact = draw_fact(draw)
    second = tell(draw, change(draw, fact, 5 - shared), place=1.0, time=1.0)
    if draw.random() < 0.8:
        second = f"{draw.choice(FAR if shared < 2 else NEAR if shared < 4 else SAME)} {second}"
    score = min(5.0, max(0.0, shared + draw.gauss(0.0, 0.4)))
    return tell(draw, fact, place=1.0, time=1.0), second, round(score * 5) / 5
