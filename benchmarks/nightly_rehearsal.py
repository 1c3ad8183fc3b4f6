"""A night with a real slowdown, end to end: measured, found, confirmed, explained, alerted once,
acknowledged.

The candidate arm of configs/nightly-smoke.yaml sleeps before every batch; everything else is as in
a real night: `harness nightly` trains, checks against the history, measures the alarmed pair again
and alerts, here to a Slack-compatible server of this process. Nights are comparable on one host
only, so a host other than the one that made results/nightly-history measures its own first:
--nights 12 (a minute each on two cores).

  python benchmarks/nightly_rehearsal.py --results DIR [--nights 12] [--delay-ms 300]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HISTORY = ROOT / "results" / "nightly-history"
SUITE = "configs/nightly-smoke.yaml"


@contextmanager
def webhook() -> Iterator[tuple[str, list[str]]]:
    """A Slack-compatible server: its address, and the texts posted to it so far."""
    posted: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook", posted
    finally:
        server.shutdown()
        server.server_close()


def call(program: str, *arguments: str, **environment: str) -> int:
    """Run `harness` or `report` and show what it prints; its exit status."""
    print(f"\n$ {program} {' '.join(arguments)}", flush=True)
    command = [sys.executable, "-m", f"{program}.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}).returncode


def expect(what: str, found: object, wanted: object) -> None:
    """Say whether it came as it should; ends the rehearsal where it did not."""
    print(f"{'as expected' if found == wanted else 'NOT AS EXPECTED'}: {what}: {found}", flush=True)
    if found != wanted:
        sys.exit(1)


def copy_unslowed(results: Path) -> None:
    """HISTORY without its own slowed night."""
    for run in HISTORY.glob("*/run.json"):
        if not any("a fault was injected" in note for note in json.loads(run.read_text())["notes"]):
            shutil.copytree(run.parent, results / run.parent.name)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--results", type=Path, required=True, help="folder for the nights; keeps what was measured"
    )
    parser.add_argument(
        "--nights",
        type=int,
        default=0,
        help="nights to measure first; 0: begin with a copy of HISTORY",
    )
    parser.add_argument(
        "--delay-ms", type=float, default=300.0, help="the candidate's sleep before every batch"
    )
    options = parser.parse_args()
    results: Path = options.results.resolve()
    if not results.exists() and not options.nights:
        copy_unslowed(results)
    for _ in range(options.nights):
        call("harness", "run", SUITE, "--new", "--no-tables", "--results", str(results))
    rehearse(results, options.delay_ms)


def rehearse(results: Path, delay_ms: float) -> None:
    """The slowed night and what follows."""
    slow = [
        "nightly",
        SUITE,
        "--results",
        str(results),
        "--set",
        f"arms.onnxruntime.injected_delay_ms={delay_ms:g}",
    ]
    with webhook() as (address, posted):
        channels = [
            "--channel",
            "slack",
            "--channel",
            f"json={results / 'nightly' / 'alerts.json'}",
        ]
        code = call("harness", *slow, *channels, BENCH_SLACK_WEBHOOK=address)
        expect("exit status of the slowed night", code, 1)
        folder = max(
            (results / "nightly").glob("*/nightly.json"), key=lambda file: file.stat().st_mtime
        ).parent
        (finding,) = json.loads((folder / "final.json").read_text())["findings"]
        expect("state", finding["state"], "regression")
        expect("cause", finding["cause"], "candidate regressed")
        expect("confirmed by a second run", finding["confirmed"], True)
        expect("alerts that arrived", len(posted), 1)
        print(json.dumps(json.loads(posted[0]), indent=1, ensure_ascii=False)[:3000])
        told = [
            "alert",
            str(folder / "final.json"),
            "--state",
            str(results / "nightly" / "told.json"),
            *channels,
        ]
        expect(
            "exit status of telling it again", call("report", *told, BENCH_SLACK_WEBHOOK=address), 0
        )
        expect("alerts that arrived", len(posted), 1)
        when = json.loads((results / folder.name / "run.json").read_text())["created_at"]
        (results / "acknowledged.yaml").write_text(
            f"acknowledged:\n  - date: {when}\n    pair: {{workload: bert-tiny-sst2}}\n    "
            "reason: rehearsed\n"
        )
        verdict = folder / "acknowledged.json"
        call("report", "check", str(results), "--run", folder.name, "--json", str(verdict))
        (finding,) = json.loads(verdict.read_text())["findings"]
        expect("state once the change is acknowledged", finding["state"], "not enough nights")


if __name__ == "__main__":
    main()
