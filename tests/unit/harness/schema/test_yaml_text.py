"""YAML from people: what it means, and that nothing in it takes time, memory or a traceback."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from folders import BAD_CONFIGS, ROOT

from harness.config import load_suite
from harness.config.load import key_and_value
from harness.errors import BenchError
from harness.schema import yaml_text
from report.regressions.acknowledged import load_acknowledged
from report.regressions.thresholds import load_config

SECONDS, BYTES = 2.0, 200 << 20
GOOD = """\
models: {tiny: {architecture: bert-tiny, weights: random}}
tasks: {sst2: {source: synthetic, train_samples: 16, eval_samples: 8}}
workloads: [{model: tiny, task: sst2}]
arms: {a: {backend: pytorch}, b: {backend: pytorch}}
pairs: [{baseline: a, candidate: b}]
measurement: {replicates: 1, parity: null}
"""
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)
TEN = "[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]"

# Name: text, line of the error, what it says.
BAD = {
    "alias bomb": (BOMB, 5, "more than 20000 values, aliases included"),
    "alias of a key": (BOMB + GOOD + "suite: s\ndescription: *a8\n", 5, "more than 20000 values"),
    "impossible date": (f"suite: 2020-99-99\n{GOOD}", 1, "2020-99-99 is no date that exists"),
    "impossible time": (f"suite: 2020-01-01T99:00:00Z\n{GOOD}", 1, "is no date that exists"),
    "a date as a name": (f"suite: 2020-01-01\n{GOOD}", 1, "2020-01-01 is read as a date"),
    "huge integer": (f"suite: s\ntraining: {{max_steps: "
                     f"{'9' * 5000}}}\n{GOOD}", 2, "is too large a number"),
    "huge hexadecimal": (f"suite: s\ntraining: {{max_steps: "
                         f"0x{'f' * 5000}}}\n{GOOD}", 2, "is too large a number"),
    "huge quoted": (f"suite: s\ntraining: {{max_steps: "
                    f"'{'9' * 5000}'}}\n{GOOD}", 2, "exceeded maximum size"),
    "large integer": (f"suite: s\ntraining: {{max_steps: "
                      f"1{'0' * 400}}}\n{GOOD}", 2, "is too large a number"),
    "huge power": (f"suite: s\ntraining: {{epochs: "
                   f"1e400}}\n{GOOD}", 2, "1e400 is not a finite number"),
    "deep": ("suite: " + "[" * 5000 + "\n", 1, "nested more than 40 deep"),
    "deep mapping": ("suite: " + "{a: " * 5000 + "\n", 1, "nested more than 40 deep"),
    "deep block": ("".join(f"{' ' * n}a:\n" for n in range(500)), 42, "nested more than 40 deep"),
    "recursive": ("suite: s\nmodels: &m {a: *m}\n", 2, "*m stands for something that holds it"),
    "recursive merge": ("suite: s\nmodels: &m "
                        "{<<: *m}\n", 2, "*m stands for something that "
                                                              "holds it"),
    "no anchor": ("suite: s\nmodels: *m\n", 2, "no anchor &m stands before it"),
    "list as key": ("? [a, b]\n: c\n", 1, "a key must be a single text"),
    "mapping as key": ("suite: s\n{a: b}: c\n", 2, "a key must be a single text"),
    "infinite rate": (f"suite: s\ntraining: {{learning_rate: "
                      f".inf}}\n{GOOD}", 2, ".inf is not a finite number"),
    "quoted infinity": (f"suite: s\ntraining: {{learning_rate: "
                        f"'inf'}}\n{GOOD}", 2, "a finite number"),
    "no number": (f"suite: s\ntraining: {{learning_rate: "
                  f".nan}}\n{GOOD}", 2, ".nan is not a finite number"),
    "infinite option": ("suite: s\nmodels: {tiny: {config: {eps: "
                        "-.inf}}}\n", 2, "not a finite number"),
    "unknown tag": (f"suite: !!python/name:os.system\n{GOOD}", 1, "is not known"),
    "wrong tag": (f"suite: s\ntraining: {{max_steps: !!int many}}\n{GOOD}", 2, "'many' is no int"),
    "control character": (f"suite: s\ndescription: a\x07\n{GOOD}", 2, "U+0007"),
    "two documents": (f"suite: s\n{GOOD}---\nsuite: t\n", 8, "a second document begins"),
    "many values": (f"suite: [{'1, ' * 100_000}]\n", 1, "more than 20000 values"),
    "many keys": ("".join(f"k{n}: 1\n" for n in range(15_000)) + GOOD, 1, "unknown key 'k0'"),
    "long for ever": (f"suite: s\nmeasurement: {{timeout_minutes: "
                      f"1e308}}\n{GOOD[:-43]}", 2, "less than or equal to"),
    "epochs for ever": (f"suite: s\ntraining: {{epochs: "
                        f"1e308}}\n{GOOD}", 2, "less than or equal to"),
    "many workloads": (
        f"suite: s\n{GOOD}".replace(
            "task: sst2}",
            f"task: sst2, sweep: {{seed: {TEN}, epochs: {TEN}, batch_size: {TEN}, max_steps: "
            f"{TEN}}}}}",
        ), 4, "with it the suite has 10000 workloads",
    ),
    "many jobs": (
        f"suite: s\n{GOOD}".replace("replicates: 1,", "replicates: 1000,").replace(
            "task: sst2}", f"task: sst2, sweep: {{seed: {TEN}, epochs: "
                           f"[1, 2]}}}}"), 6, "about 40000 jobs",
    ),
    "many replicates": (
        f"suite: s\n{GOOD}".replace("replicates: 1,", "adaptive: {max_replicates: 1000000000},"),
        7, "less than or equal to 1000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_bad_suite_is_one_error_with_its_line(tmp_path: Path, name: str) -> None:
    text, line, message = BAD[name]
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    begin = time.process_time()
    with pytest.raises(BenchError) as caught:
        load_suite(file)
    assert time.process_time() - begin < SECONDS
    assert caught.value.place == f"{file}:{line}"
    assert message in str(caught.value)
    assert len(str(caught.value)) < 20_000


@pytest.mark.parametrize(
    "name", ["alias bomb", "deep", "many values", "huge integer", "many workloads"]
)
def test_a_bad_suite_takes_little_time_and_memory_and_ends_with_2(
    tmp_path: Path, name: str
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(BAD[name][0])
    # Its own peak: what os.wait4 tells begins with the memory of the process that forked.
    code = (
        "import sys, resource; from harness.cli import main; status = main(sys.argv[1:]); "
        "peak = next(line.split()[1] for line in open('/proc/self/status') if "
        "line.startswith('VmHWM')); "
        "used = resource.getrusage(resource.RUSAGE_SELF); print(peak, used.ru_utime + "
        "used.ru_stime); sys.exit(status)"
    )
    command = [sys.executable, "-c", code, "plan", str(file), "--device", "cpu"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith(f"harness: {file}:")
    peak_kib, seconds = done.stdout.split()
    assert int(peak_kib) * 1024 < BYTES
    assert float(seconds) < SECONDS


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        (b"suite: s\ndescription: \xe9\n", ":2", "is not UTF-8 text"),
        ("suite: s\n".encode("utf-16"), ":1", "is not UTF-8 text"),
        (b"#" * (2 << 20), "", "has more than 1024 KiB"),
    ],
)
def test_what_is_no_text_is_said(tmp_path: Path, text: bytes, place: str, message: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(text)
    with pytest.raises(BenchError, match=message) as caught:
        load_suite(file)
    assert caught.value.place == f"{file}{place}"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-6", 1e-6),
        ("1E-6", 1e-6),
        ("2e-5", 2e-5),
        ("-1e+3", -1e3),
        ("1.e3", 1e3),
        (".5e1", 5.0),
        ("1.0e-3", 1e-3),
        ("8", 8),
        ("-8", -8),
        ("0x1F", 31),
        ("0o17", 15),
        ("1_000", 1000),
        ("1_000.5", 1000.5),
        ("007", 7),
        ("1:30", "1:30"),
        ("1e", "1e"),
        ("e5", "e5"),
        ("'1e-6'", "1e-6"),
        ("1.2.3", "1.2.3"),
        ("yes", True),
        ("off", False),
        ("~", None),
        ("", None),
        ("None", "None"),
        ("2026-02-03", dt.date(2026, 2, 3)),
    ],
)
def test_a_value_means_what_it_looks_like(written: str, value: object) -> None:
    _, found = key_and_value("--set", f"a={written}", "a=1")
    assert (type(found), found) == (type(value), value)


def test_shipped_suites_mean_what_yaml_says() -> None:
    for file in [
        *(ROOT / "configs").glob("*.yaml"),
        *BAD_CONFIGS.glob("good.yaml"),
    ]:
        text = file.read_text()
        assert yaml_text.parse(text).content == yaml.safe_load(text), file


def test_numbers_are_numbers_wherever_a_suite_takes_one(tmp_path: Path) -> None:
    file = tmp_path / "numbers.yaml"
    file.write_text(
        f"suite: s\n{GOOD}training: {{learning_rate: 1e-4, max_steps: 1e1}}\n".replace(
            "architecture: bert-tiny,", "architecture: bert-tiny, config: {layer_norm_eps: 1e-6},"
        )
        .replace("a: {backend: pytorch}", "a: {backend: pytorch, training: {weight_decay: 1e-2}}")
        .replace("candidate: b}", "candidate: b, differs: [training.weight_decay]}")
    )
    suite = load_suite(
        file,
        ["models.tiny.config.initializer_range=2e-2", "workloads.0.training={warmup_ratio: 1e-1}"],
    )
    assert suite.models["tiny"].config == {"layer_norm_eps": 1e-6, "initializer_range": 2e-2}
    assert (suite.training.learning_rate, suite.training.max_steps) == (1e-4, 10)
    assert suite.arms["a"].training == {"weight_decay": 1e-2}
    assert suite.workloads[0].training == {"warmup_ratio": 1e-1}


def test_the_other_yaml_files_take_the_same_numbers_and_have_the_same_bounds(
    tmp_path: Path,
) -> None:
    file = tmp_path / "check.yaml"
    file.write_text("thresholds: {least_noise_percent: 1e-3}\n")
    assert load_config(file).thresholds.least_noise_percent == 1e-3
    for text in (
        "thresholds:\n  sigmas: .inf\n",
        "thresholds:\n  sigmas: 'inf'\n",
        f"a: 1\nb: {'[' * 9999}",
    ):
        file.write_text(text)
        with pytest.raises(BenchError) as caught:
            load_config(file)
        assert caught.value.place == f"{file}:2"
    file.write_text(BOMB)
    with pytest.raises(BenchError, match="more than 20000 values"):
        load_config(file)


@pytest.mark.parametrize(
    "commit", ["1234567", "0123456", "12345e6", "1234e567", "2020-01-01", "3ef60dd"]
)
def test_a_commit_stays_as_it_is_written(tmp_path: Path, commit: str) -> None:
    file = tmp_path / "acknowledged.yaml"
    file.write_text(
        f"acknowledged:\n- date: 2026-02-03\n  pair: {{}}\n  reason: r\n  commit: {commit}\n"
    )
    assert load_acknowledged(tmp_path)[0].commit == commit


def test_aliases_and_merge_keys_work_and_share_nothing(tmp_path: Path) -> None:
    file = tmp_path / "shared.yaml"
    arms = (
        "arms:\n  a: &a {backend: pytorch, training: {weight_decay: 0.1}}\n  b: *a\n  c: {<<: *a, "
        "attention: sdpa}\n"
    )
    kept = "".join(line + "\n" for line in GOOD.splitlines() if not line.startswith("arms"))
    file.write_text(f"suite: s\n{arms}{kept}")
    suite = load_suite(file, ["arms.b.training.weight_decay=0.1"])
    assert suite.arms["b"].training == suite.arms["a"].training == {"weight_decay": 0.1}
    assert (suite.arms["c"].backend, suite.arms["c"].attention) == ("pytorch", "sdpa")
    with pytest.raises(BenchError, match="differ in training.weight_decay"):
        load_suite(file, ["arms.b.training.weight_decay=0.2"])


@pytest.mark.parametrize(
    "given",
    [
        "training.batch_size=.inf",
        f"training.batch_size={'9' * 5000}",
        "workloads.²=1",
        f"training={'[' * 100}",
        "training.batch_size=\udcff",
        "suite=2020-99-99",
    ],
)
def test_a_bad_option_is_one_error(tmp_path: Path, given: str) -> None:
    file = tmp_path / "good.yaml"
    file.write_text(f"suite: s\n{GOOD}")
    with pytest.raises(BenchError) as caught:
        load_suite(file, [given])
    assert caught.value.place.startswith("--set ")
    assert len(str(caught.value)) < 1000
