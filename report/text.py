"""How the report writes numbers and reasons, whatever shows them."""

from __future__ import annotations

MAX_REASON = 300  # characters: a reason is a sentence, not a traceback
MANY_RUNS = 30  # more runs are summed up: nobody reads a line for each


def in_one_line(reason: str) -> str:
    """A reason of any length as one line of MAX_REASON characters at most."""
    one_line = " ".join(reason.split())
    return one_line if len(one_line) <= MAX_REASON else one_line[:MAX_REASON] + "…"


def epochs_of(number: float) -> str:
    """A number of epochs in words: "3 epochs", "1 epoch"."""
    return f"{number:g} epoch{'' if number == 1 else 's'}"


def four_decimals(value: float) -> str:
    """0.8432; four digits of what would have more than nine before the point."""
    return f"{value:z.4f}" if abs(value) < 1e9 else f"{value:.4g}"


def format_percent(fraction: float) -> str:
    """0.0299 as "2.99%"; never "-0.00%", and three digits of what would fill the line."""
    return f"{fraction * 100:z.2f}%" if abs(fraction) < 1e7 else f"{fraction * 100:.3g}%"


def signed_percent(fraction: float, digits: int = 1) -> str:
    """A signed percentage with a typographic minus: 0.05 as "+5.0%"."""
    return f"{100 * fraction:+.{digits}f}%".replace("-", "−")


def seconds(value: float) -> str:
    """A time with four digits: "12.34 ms", "1.234 s"."""
    return f"{value * 1000:.4g} ms" if value < 1 else f"{value:.4g} s"
