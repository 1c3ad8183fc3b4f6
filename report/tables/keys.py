"""What the keys of raw rows mean: columns of CSV, fields of JSON."""

from __future__ import annotations

KEYS = {
    "run": "name of the run",
    "workload": "name of the workload within the run",
    "model": "label of the model",
    "task": "label of the task",
    "precision": "fp32, fp16 or bf16",
    "batch_size": "training samples per device and step (null: not published, or the arms of the "
    "pair differ in it)",
    "arm": "name of the arm within the run",
    "backend": "label of the arm's backend",
    "attention": "the arm's attention implementation",
    "device": "cpu, or the GPU's name",
    "source": "measured, or published (taken from a publication)",
    "launches": "launches recorded, whatever became of them (null: not published)",
    "n": "launches that count: of the arm, or of both arms of the pair (null: not published)",
    "runtime_s": "end-to-end training time in seconds, mean over the launches that count",
    "train_samples_per_s": "end-to-end training samples per second, mean",
    "setup_s": "seconds from the call of train() to the end of the first step, mean",
    "steady_step_s": "seconds per step after the warm-up, mean",
    "steady_samples_per_s": "training samples per second after the warm-up, mean",
    "launch": "number of the launch, from 1, where a row is of one job",
    "steps": "optimizer steps of the job",
    "first_step_s": "mean seconds of its first 200 steps, without the suite's warm-up steps",
    "later_step_s": "mean seconds of the steps after these",
    "predicted_runtime_s": "set-up and as many steps of first_step_s as the job has after "
    "the first",
    "prediction_difference": "predicted_runtime_s over runtime_s, less 1, as a fraction",
    "processes": "processes that trained together, on all nodes",
    "nodes": "nodes that the processes were on",
    "speed_up": "steady samples per second over those of the fewest processes that the run has of "
    "the same work",
    "scaling_efficiency": "the speed-up over the ratio of processes, as a fraction: 1 if "
    "nothing is lost",
    "card": "NVML's index of the card, in PCI bus order",
    "gpu_utilization_percent": "NVML's GPU utilization in the steady window, mean over cards and "
    "launches",
    "gpu_utilization_p10_percent": "its 10th percentile over the samples of a window, mean over "
    "cards and launches",
    "gpu_memory_peak_bytes": "peak of the whole card's memory in use by NVML, of the fullest "
    "card, mean over launches",
    "torch_peak_allocated_bytes": "peak that torch's allocator had handed out, mean over launches",
    "torch_peak_reserved_bytes": "peak that torch's allocator had taken from the card, mean over "
    "launches",
    "power_w": "power in the steady window, all cards together, mean over launches",
    "joules_per_sample": "energy of all cards per training sample in the steady window, mean over "
    "launches",
    "model_flops_utilization": "the model's FLOPs over the card's dense peak, as a fraction, mean "
    "over launches",
    "sm_clock_mhz": "median SM clock in the steady window, mean over cards and launches",
    "kernels": "native, or ptx if the driver compiled ONNX Runtime's kernels for this card",
    "job_cpu_share": "CPU time of the job's processes over that of all cores in the steady "
    "window, as a fraction, mean",
    "host_cpu_share": "CPU time of all processes over that of all cores in the steady window, as "
    "a fraction, mean",
    "peak_rss_bytes": "peak resident memory of the job's process, mean over launches",
    "job_rss_peak_bytes": "peak resident memory summed over the job's processes (shared pages "
    "twice), mean",
    "metric": "name of a metric of the validation set; in inference that by which both engines "
    "were compared",
    "metric_value": "its value after training, mean over the launches that count (null: not "
    "defined in one of them)",
    "chance": "what a model that ignores its input reaches of it (null: not recorded)",
    "baseline": "arm that the candidate is compared with",
    "candidate": "arm whose gain this is",
    "baseline_backend": "label of the baseline's backend",
    "candidate_backend": "label of the candidate's backend",
    "baseline_attention": "the baseline's attention implementation",
    "candidate_attention": "the candidate's attention implementation",
    "measure": "end_to_end or steady_state: the time that is compared",
    "log_ratio": "mean of ln T_baseline - ln T_candidate over the launches that count",
    "latency_gain": "1 - T_candidate / T_baseline, as a fraction, from unrounded times",
    "throughput_gain": "T_baseline / T_candidate - 1, as a fraction, from unrounded times",
    "published_latency_gain": "the gain as printed in the publication (published runs only)",
    "published_throughput_gain": "the gain as printed in the publication (published runs only)",
    "protocol": "epochs, or blocks: the jobs of both arms took turns on the device",
    "cycles_throughput_gain": "the throughput gain in clock cycles: each launch's times "
    "multiplied by its SM clock",
    "break_even": "the step from which the candidate has repaid its set-up, with its 95% "
    "interval, in words",
    "break_even_step": "that step, counted from 1 (null: never, or not known)",
    "break_even_step_low": "lower end of its 95% interval by Fieller (null: never, or not known)",
    "break_even_step_high": "upper end of its 95% interval by Fieller (null: unbounded, or "
    "not known)",
    "a_a": "whether the arms of the pair are identical, so that the gain is noise",
    "noise_floor": "half-width of the 95% interval of identical arms on this host, with its "
    "middle if 0 is outside",
    "noise_floor_throughput_gain_low": "lower end of the 95% interval of identical arms' "
    "throughput gain, a fraction",
    "noise_floor_throughput_gain_high": "upper end of the 95% interval of identical arms' "
    "throughput gain, a fraction",
    "noise_floor_run": "the run in which the identical arms were measured",
    "parity": "passed, failed, or not checked: whether both arms learned alike (null: no twins "
    "asked for)",
    "parity_reason": "why parity failed or was not checked",
    "parity_metric": "how the task's metric after training compares with the baseline's spread "
    "between seeds",
    "parity_loss_difference": "largest difference of a step's loss between the twin runs",
    "parity_loss_tolerance": "what it was allowed to be",
    "inference_batch_size": "samples per batch of inference (null: none was timed)",
    "inference_precision": "fp32 or fp16: weights and arithmetic of both engines (null: not known)",
    "torch_latency_s": "inference, seconds per batch by PyTorch, mean over the launches that count",
    "torch_latency_p50_s": "inference, median over a launch's batches, mean over launches",
    "torch_latency_p95_s": "inference, 95th percentile over a launch's batches, mean over launches",
    "torch_samples_per_s": "inference, samples per second by PyTorch, mean",
    "onnxruntime_latency_s": "inference, seconds per batch by ONNX Runtime, mean over the "
    "launches that count",
    "onnxruntime_latency_p50_s": "inference, median over a launch's batches, mean over launches",
    "onnxruntime_latency_p95_s": "inference, 95th percentile over a launch's batches, mean over "
    "launches",
    "onnxruntime_samples_per_s": "inference, samples per second by ONNX Runtime, mean",
    "torch_metric": "its value by PyTorch, mean over launches",
    "onnxruntime_metric": "its value by ONNX Runtime, mean over launches",
    "logit_difference": "largest absolute difference of a logit between both engines in any launch",
    "logit_tolerance": "what it was allowed to be",
    "provider": "first execution provider of ONNX Runtime's session",
    "opset": "opset of the exported graph",
    "export_s": "seconds of the export to ONNX, mean",
    "session_s": "seconds of making ONNX Runtime's session, mean",
    "host": "the GPU's name, or of a run on CPU the processor and its cores",
    "trains": "yes if a launch counts, no if none does, not run if there is none",
    "proven": "whether the backend was proven to run the training, where a proof was taken (null: "
    "needs none)",
    "error": "why there is no result, or no gain",
    "precision_target": "precision reached or precision not reached (null: no adaptive stopping "
    "on this measure)",
    "differs": "declared differences of the pair besides the backend",
    "left_out": "why some launches do not count",
    "unobserved": "of how many jobs of the gain it is unknown whether their cards were throttled "
    "or shared, and why",
    "state": "ok, or why there is no result",
    "runs": "runs that have the pair",
    "runs_with_gain": "runs in which its gain is valid",
    "first_run_at": "when the first of them was made (UTC, ISO 8601; empty: not known)",
    "latest_run_at": "when the latest of them was made, to which all other keys of the row belong",
    "steady_throughput_gain": "the throughput gain in the steady state, where a row is of one pair "
    "and `throughput_gain` is end to end",
    "median_throughput_gain": "median over the runs with a valid gain",
    "lowest_throughput_gain": "lowest of the runs with a valid gain",
    "highest_throughput_gain": "highest of the runs with a valid gain",
}
_SIDES = {"baseline_": "the pair's baseline", "candidate_": "the pair's candidate"}
INTERVAL_KEYS = {
    "_low": "lower end of the 95% Student t interval",
    "_high": "upper end of the 95% Student t interval",
}


def describe_key(key: str) -> str:
    """What a key of a row means. KeyError for a key that no row has."""
    if key in KEYS:
        return KEYS[key]
    for start, whose in _SIDES.items():
        if key.startswith(start):
            return f"{describe_key(key.removeprefix(start))}; of {whose}"
    stem, end = key.rsplit("_", 1)
    return f"{INTERVAL_KEYS['_' + end]} of {stem} (null where n < 2)" if stem in KEYS else KEYS[key]
