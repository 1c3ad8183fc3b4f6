"""What the words of the page mean, for its tooltips and its list of terms.

A figure's meaning is taken from its declaration (report.analysis.metrics); here stand the words
that are no figure's.
"""

from __future__ import annotations

import re
from functools import cache

from report.analysis.metrics import INFERENCE_METRICS, JOB_METRICS, PREDICTED, AnyMetric
from report.text import OPEN_NOTE

TERMS: dict[str, str] = {
    "95% interval": "The true value lies in it with 95% confidence: Student's t interval over "
    "replicates, of the logarithm of the ratio of times. "
    f"{OPEN_NOTE.capitalize()}.",
    "A/A": "The noise floor: the 95% interval of the gain of two identical arms on the same host.",
    "Arm": "What trains a workload: a backend with its options, in a named stack.",
    "As published": "The gain as the publication printed it.",
    "Attention": "The implementation of attention that the arm's model runs.",
    "Backend": "What runs the training: PyTorch, ONNX Runtime or torch.compile.",
    "Baseline": "The arm that the candidate is compared with.",
    "Batch": "Training samples for each device and step.",
    "Break-even": "The step from which the candidate has repaid its longer set-up, with its 95% "
    "interval; ∞ means that the replicates leave it open.",
    "Candidate": "The arm whose gain is told.",
    "Card": "The GPU's number on its host.",
    "Chance": "The metric's value for guessing.",
    "Commit": "The version of the code that measured.",
    "Date (UTC)": "When the run was started, in universal time.",
    "Efficiency": "The speed-up over the number of processes.",
    "End to end": "The time of a whole job as Trainer reports it, set-up included.",
    "End to end, predicted": "The time of a whole job, predicted from set-up and steady steps.",
    "Error": "Why there is no result.",
    "Export + session(s)": "Seconds for the export to ONNX and for making the session.",
    "GPU": "The device that trained.",
    "Gain": "How much more samples per second the candidate trains than the baseline.",
    "Gain of": "The pair of arms: the candidate over the baseline.",
    "Headline": "The answer of the run in words.",
    "History": "The nights of one suite on one host, each judged by the nights before it.",
    "Host": "The machine that measured.",
    "Identical arms": "Two arms that differ in their names alone; their gain is the noise floor.",
    "Inference batch": "Samples for each batch of inference.",
    "Kernels": "native, or ptx if the driver compiled ONNX Runtime's kernels for this card.",
    "Kind of fact": "Where the fact is recorded.",
    "Kind": "Whether the job is a parity run, took turns with other jobs, or was run again.",
    "Log": "What the job printed.",
    "CPU, host(%)": "CPU time of all processes over that of all cores in the steady window.",
    "CPU, job(%)": "CPU time of the job's processes over that of all cores in the steady window, "
    "or in the turn that a job of a group had to itself.",
    "MFU(%)": "Model FLOPs utilization: the model's FLOPs over the card's dense peak.",
    "Max Δlogit": "The largest difference between the logits of both engines.",
    "Metric": "A metric of the validation set.",
    "Model": "The model that is trained.",
    "Night": "One run of a suite that is repeated, on one host.",
    "Nodes": "Computers that trained together.",
    "Noise floor": "What two identical arms differ by on the same host: a gain within it is none.",
    "Pair": "Two arms on one workload: the candidate over the baseline.",
    "Parity": "Whether both arms learned alike: the losses of parity runs step by step, and the "
    "metric after training.",
    "Precision": "The number format of the training.",
    "Processes": "Processes that trained together, each with a device of its own.",
    "Proven": "Whether the backend was proven to have run the training step.",
    "Provider": "The execution provider of ONNX Runtime's session.",
    "Reason": "Why the job has no result.",
    "Replicate": "One set of fresh jobs, one for each arm, that are compared with each other.",
    "Run": "One execution of a suite on one host.",
    "Set aside": "What could not be read is named and left out.",
    "Speed-up": "Training samples per second over those of one process.",
    "Started (UTC)": "When the job was started, in universal time.",
    "State": "Whether there is a result, and what qualifies it; or why there is none.",
    "Steady state": "The time of a step after the warm-up; set-up and first steps are left out.",
    "Steady step(ms)": "Milliseconds for each step after the warm-up, mean over replicates.",
    "Steps": "Optimizer steps.",
    "Suite": "The configuration file that was run.",
    "Task": "What the model is trained for.",
    "Throughput gain": "T_baseline / T_candidate − 1: how much more samples per second the "
    "candidate trains. Above 0 the candidate is faster.",
    "Latency gain": "1 − T_candidate / T_baseline: how much less time the candidate takes.",
    "Time": "Which time the gain is of: that of a steady step, or that of a whole job.",
    "Trained by": "The arm that trained the model.",
    "Trains": "Whether a replicate ended well, evaluation included.",
    "Value": "The metric's mean over replicates.",
    "Verdict": "faster or slower where the 95% interval does not contain 0, else not "
    "distinguishable; identical arms are the noise floor.",
    "Workload": "One model, one task and the training settings that all arms share.",
    "n": "How many replicates count.",
    "Replicates": "How many replicates count.",
}
_HALF_WIDTH = "half the width of the 95% interval of the figure before it, over replicates"
_PATTERNS: tuple[tuple[str, str], ...] = (
    (r"Throughput\b.*(95%|interval).*", "the throughput gain with its 95% interval"),
    (r"Latency gain\b.*|Latency\b.*", "1 − T_candidate / T_baseline, from unrounded times"),
    (r"Gain, .*|Throughput( gain)?\b.*", "T_baseline / T_candidate − 1, from unrounded times"),
    (r".* against", "what the gain is over"),
    (r".*±95%.*", _HALF_WIDTH),
    (r".*[Ss]amples\(/s\).*", "samples per second, mean over replicates"),
    (r".*\(ms\) mean/p50/p95", "milliseconds for each batch: mean, median, 95th percentile"),
    (r"Runtime\(s\).*predicted", "seconds end to end, predicted from set-up and steady steps"),
    (r"First set-up\(s\)", "set-up in seconds of the arm's parity run, its first job"),
    (r"Cold set-up\(s\)", "set-up in seconds where nothing had been compiled before"),
    (r"Warm set-up\(s\)", "set-up in seconds where kernels had been compiled before"),
    (r"GPU util\(%\)", "NVML's GPU utilization in the steady window"),
    (r"Steady step\b.*", "milliseconds for each step after the warm-up"),
    (r"Runtime\b.*", "seconds end to end, as Trainer reports them"),
    (r"Break-even step", TERMS["Break-even"]),
    (r"Efficiency\b.*", TERMS["Efficiency"]),
    (r"Value\b.*", TERMS["Value"]),
)


def meaning(term: str) -> str:
    """What `term`, a word or the title of a column, means, as a sentence; empty if nobody says."""
    if known := TERMS.get(term) or TERMS.get(term[:1].upper() + term[1:]):
        return known
    said = _of_metrics().get(term) or next(
        (text for pattern, text in _PATTERNS if re.fullmatch(pattern, term)), ""
    )
    return f"{said[0].upper()}{said[1:].removesuffix('.')}." if said else ""


@cache
def _of_metrics() -> dict[str, str]:
    """By the headers of figures; those of both engines of inference are told by patterns."""
    found: dict[str, str] = {}
    metrics: tuple[AnyMetric, ...] = (*JOB_METRICS, *PREDICTED)
    for metric in metrics:
        if metric.header:
            found.setdefault(metric.header, metric.meaning)
        if metric.interval_header:
            found.setdefault(metric.interval_header, f"half the 95% interval of: {metric.meaning}")
    for of_engine in INFERENCE_METRICS:
        found.setdefault(of_engine.header, of_engine.meaning.format(engine="the engine"))
    return found
