"""Where the checkout and the parts of it that tests read lie."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"
RESULTS = ROOT / "results"
PUBLISHED = RESULTS / "published"
SUPPORT = ROOT / "tests" / "support"
BAD_CONFIGS = SUPPORT / "bad_configs"
DATA = SUPPORT / "data"
