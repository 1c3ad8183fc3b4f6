"""pyperf JSON: times only; a benchmark per arm and time, a run per replicate, so that `pyperf
compare_to` can test them.

Inference has a benchmark per engine and batch size: the mean time of a batch of each replicate.
Source: https://pyperf.readthedocs.io/en/latest/api.html, "pyperf JSON" (format version 1.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from harness.schema.record import ENGINES, JobRecord
from harness.schema.replicates import ONE_GROUP, ReplicateNames
from report.analysis.inference import comparisons_of, inference_subject
from report.analysis.metrics import INFERENCE_LATENCY, JOB_METRICS, Unit, exported
from report.analysis.replicates import arms_of, counting, names_of
from report.analysis.statistics import usable
from report.exports.points import json_bytes, nothing_to_export, reject_clash
from report.loading.runs import Run

VERSION = "1.0"
TIMES = [metric for metric in exported(JOB_METRICS) if metric.unit is Unit.SECOND]

Metadata = dict[str, str | int]


def files(runs: Sequence[Run]) -> dict[str, bytes]:
    """pyperf.json, without published figures: they are of no replicate. A time in two runs, or no
    time: BenchError.
    """
    benchmarks: list[dict[str, Any]] = []
    seen: dict[str, str] = {}
    for run in runs:
        for (workload, arm), replicates in arms_of(run).replicates.items():
            jobs = [job for job in counting(replicates.values()) if job.source == "measured"]
            names = names_of(run).get(workload, ONE_GROUP)
            for metric in TIMES:
                timed = [
                    _run(job, value, names) for job in jobs if usable(value := metric.read(job))
                ]
                if timed:
                    name = f"{workload}/{arm}/{metric.series}"
                    reject_clash(seen, name, run.info.run)
                    about = _clean({"name": name, "unit": "second", **_about(run, jobs[0])})
                    benchmarks.append({"metadata": about, "runs": timed})
        for benchmark in _inference(run):
            reject_clash(seen, str(benchmark["metadata"]["name"]), run.info.run)
            benchmarks.append(benchmark)
    if not benchmarks:
        raise nothing_to_export(
            runs, "no measured replicate of an arm counts", fix="publications go out as csv"
        )
    return {"pyperf.json": json_bytes({"version": VERSION, "benchmarks": benchmarks})}


def _inference(run: Run) -> Iterator[dict[str, Any]]:
    """A benchmark per engine of every arm and batch size with a valid gain."""
    for found in comparisons_of(run):
        if not found.outcome.ok or found.batch_size is None:
            continue
        job = found.counted[0][0]
        subject = inference_subject(found.workload, found.arm, found.batch_size)
        for engine in ENGINES:
            about = {
                "name": f"{subject}/{engine}/{INFERENCE_LATENCY.series}",
                "unit": "second",
                **_about(run, job),
                "engine": engine,
                "inference_batch_size": found.batch_size,
                "inference_precision": job.inference.precision if job.inference else None,
            }
            # The peak of memory in the record is the training's.
            timed = [
                _run(one, getattr(point, engine).mean_s, names_of(run)[found.workload], peak=False)
                for one, point in found.counted
            ]
            yield {"metadata": _clean(about), "runs": timed}


def _run(
    job: JobRecord, value: float, names: ReplicateNames, *, peak: bool = True
) -> dict[str, Any]:
    metadata = {
        "date": job.started_at,
        "replicate": names.number(job.replicate),
        "group": names.group(job.replicate),
        "mem_max_rss": job.memory.peak_rss_bytes
        if peak
        else None,  # bytes, by pyperf's registry of metadata
        "seed": job.seed,
    }
    return {"metadata": _clean(metadata), "values": [value]}


def _about(run: Run, job: JobRecord) -> dict[str, Any]:
    host = run.info.host
    packages = {f"{name}_version": version for name, version in sorted(job.packages.items())}
    return {
        "run": run.info.run,
        "commit": run.info.git.get("commit"),
        "cpu_model_name": host.cpu,
        "cpu_count": host.cores,
        "device": job.device,
        "driver": host.driver,
        "backend": job.arm.backend,
        "stack": job.arm.stack,
        "precision": job.workload.training.precision,
        "batch_size": job.workload.training.batch_size,
        **packages,
    }


def _clean(metadata: dict[str, Any]) -> Metadata:
    """What pyperf takes: no empty text, none with a line break, nothing that is missing."""
    texts = {
        key: " ".join(value.split()) if isinstance(value, str) else value
        for key, value in metadata.items()
    }
    return {key: value for key, value in texts.items() if value not in (None, "")}
