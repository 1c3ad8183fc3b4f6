"""Inference over nights: on what an arm trained, at one batch size, ONNX Runtime against PyTorch.

Such a night's pair is (`WORKLOAD/ARM/inference/batch-N`, torch, onnxruntime): everything that knows
nights by their pair keeps it apart from training. The jobs of a declared pair measure it, so that
pair is what runs again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from harness.schema.record import ENGINES, JobRecord, Pair
from report.analysis.inference import EngineComparison, comparisons_of, inference_subject
from report.analysis.replicates import arms_of, is_result
from report.loading.runs import Run
from report.regressions.comparable import Setting, setting_of
from report.regressions.nights import Key, Night, are_kin, date_of, key_of, last_kin, point_of
from report.regressions.thresholds import Comparable


def inference_nights_of(
    run: Run, rules: Comparable, past: Mapping[Key, Sequence[Night]]
) -> list[Night]:
    """Inference of every arm of a declared pair, as nights. `run` must have a date
    (`nights_among`).

    An arm whose inference failed in every replicate has no batch size to tell: it has a night
    without a result for each that it had in `past`, the last time on this host. An arm no replicate
    of which counts has none: its pair says why.
    """
    when = date_of(run)
    nights: list[Night] = []
    for (workload, arm), declared in _trained(run).items():
        found = [one for one in comparisons_of(run) if (one.workload, one.arm) == (workload, arm)]
        timed = [
            _night(run, one, declared, when, rules) for one in found if one.batch_size is not None
        ]
        nights += timed
        if found and not _any_ended(found):
            known = {key_of(night.pair) for night in timed}
            nights += [
                replace(
                    last,
                    run=run,
                    created_at=when,
                    point=None,
                    gain=None,
                    why=str(found[0].outcome),
                    left_out="",
                    declared=declared,
                )
                for last in _latest(run, past, workload, arm)
                if key_of(last.pair) not in known
            ]
    return nights


def inference_histories(runs: Sequence[Run], rules: Comparable) -> dict[Key, list[Night]]:
    """All nights of inference, oldest first, whatever host they were on. `runs` as `nights_among`
    orders them.
    """
    found: dict[Key, list[Night]] = {}
    for run in runs:
        for night in inference_nights_of(run, rules, found):
            found.setdefault(key_of(night.pair), []).append(night)
    return found


def dropped_inference(
    tonight: Run,
    nights: Sequence[Night],
    earlier: Sequence[Run],
    past: Mapping[Key, Sequence[Night]],
) -> list[Pair]:
    """Inference that the last night of tonight's suite on tonight's host had and tonight's run was
    not asked for.

    `nights`: tonight's. Of arms that were trained tonight; the others are missing as a whole.
    """
    kin = last_kin(tonight, earlier)
    here = {key_of(night.pair) for night in nights}
    return [
        found[-1].pair
        for workload, arm in _trained(tonight)
        for key, found in past.items()
        if _is_of(key, workload, arm) and found[-1].run is kin and key not in here
    ]


def _trained(run: Run) -> dict[tuple[str, str], Pair]:
    """The arms with a replicate that counts, by workload and name, and the first pair that declares
    each.
    """
    declared: dict[tuple[str, str], Pair] = {}
    for pair in run.info.pairs:
        for arm in (pair.baseline, pair.candidate):
            declared.setdefault((pair.workload, arm), pair)
    replicates = arms_of(run).replicates
    return {
        key: pair
        for key, pair in declared.items()
        if any(is_result(job) for job in replicates[key].values())
    }


def _any_ended(found: Sequence[EngineComparison]) -> bool:
    jobs = [job for one in found for job in one.replicates.values()]
    return any(job.inference is not None and job.inference.state == "ok" for job in jobs)


def _is_of(key: Key, workload: str, arm: str) -> bool:
    return key[0].startswith(f"{workload}/{arm}/inference/")


def _latest(run: Run, past: Mapping[Key, Sequence[Night]], workload: str, arm: str) -> list[Night]:
    """What the arm had, the last time it had any in this suite on this host."""
    of_arm = [nights[-1] for key, nights in past.items() if _is_of(key, workload, arm)]
    kin = [night for night in of_arm if are_kin(night.run, run)]
    return [night for night in kin if night.created_at == max(one.created_at for one in kin)]


def _night(
    run: Run, found: EngineComparison, declared: Pair, when: datetime, rules: Comparable
) -> Night:
    subject = inference_subject(found.workload, found.arm, found.batch_size or 0)
    baseline, candidate = ENGINES
    point = None
    if found.outcome.ok:
        point = point_of(
            run, [(timed.torch.mean_s, timed.onnxruntime.mean_s) for _, timed in found.counted]
        )
    jobs = [job for job, _ in found.counted] or list(found.replicates.values())
    return Night(
        run=run,
        pair=Pair(workload=subject, baseline=baseline, candidate=candidate),
        created_at=when,
        point=point,
        setting=_setting(run, jobs[0], rules),
        gain=found,
        measure="inference",
        why="" if found.outcome.ok else str(found.outcome),
        left_out=found.left_out,
        declared=declared,
    )


def _setting(run: Run, job: JobRecord, rules: Comparable) -> Setting:
    """That of the training, and what the engines ran in."""
    setting = setting_of(run, (job, job), rules)
    result = job.inference
    proof = result.proof if result else None
    facts = {
        "precision": result.precision if result else None,
        "provider": proof.provider if proof else None,
        "opset": proof.opset if proof else None,
        "threads": proof.threads if proof else None,
    }
    return replace(
        setting,
        facts=(*setting.facts, *((f"inference.{key}", str(fact)) for key, fact in facts.items())),
    )
