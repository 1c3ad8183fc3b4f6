"""How the report writes numbers and reasons, whatever shows them."""

from __future__ import annotations

from harness.errors import beginning_and_end

MAX_REASON = 300  # characters: a reason is a sentence, not a traceback
MANY_RUNS = 30  # more runs are summed up: nobody reads a line for each
# The rule for an interval that says nothing, wherever a person reads it; exports for other programs
# have its ends. Break-evens are told otherwise: they are steps, and 1 and ∞ are telling ends.
MOST_APART = 10.0  # times, of the value and an end of its interval
OPEN = "open"  # in the place of the ends of such an interval
OPEN_NOTE = f"{OPEN}: an end of the interval is more than a factor of {MOST_APART:g} from the value"


def is_open(value: float | None, low: float | None, high: float | None) -> bool:
    """Whether an interval leaves its value, which is above 0, undetermined by more than MOST_APART
    times.

    Args:
        value: The value, as a time, a rate or a ratio.
        low: The lower end of its interval; None where there is none or it overflowed.
        high: The upper end; likewise. One end without the other is open.
    """
    if value is None or value <= 0 or (low is None and high is None):
        return False
    if low is None or high is None:
        return True
    return high > MOST_APART * value or low < value / MOST_APART


def is_open_gain(value: float | None, low: float | None, high: float | None) -> bool:
    """Whether the interval of a throughput gain is open: that of the ratio, which is the gain
    plus 1.
    """
    one, least, most = (None if each is None else each + 1 for each in (value, low, high))
    return is_open(one, least, most)


def in_one_line(reason: str, longest: int = MAX_REASON) -> str:
    """A reason as one line of `longest` characters at most: its beginning and its end."""
    return beginning_and_end(" ".join(reason.split()), longest)


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
