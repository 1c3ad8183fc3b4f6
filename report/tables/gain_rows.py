"""One row per declared pair and measure, in raw, unrounded numbers, with the checks a gain has to
pass beside it.
"""

from __future__ import annotations

from typing import Any

from harness.schema.record import Stopping
from report.analysis.break_even import BreakEven
from report.analysis.gains import STEADY_STATE, Gain, gains_of, transformed
from report.analysis.metrics import Figure, finite
from report.analysis.noise_floor import Floor, floor_for, floors_of, is_a_a
from report.analysis.outcome import PrecisionTarget
from report.analysis.parity import Parity
from report.analysis.published import printed_gains
from report.analysis.replicates import arms_of, is_interleaved
from report.analysis.statistics import throughput_gain
from report.labels import known
from report.loading.runs import Run
from report.tables.arm_rows import attention, backend_label, devices, identity, with_interval
from report.tables.rows import GainRow


def gain_rows(run: Run) -> list[GainRow]:
    """One row per declared pair and measure, those without a gain included."""
    rows: list[GainRow] = []
    arms = arms_of(run)
    floors = floors_of(run)
    published = {
        (printed.workload, printed.baseline, printed.candidate): printed
        for printed in printed_gains(run)
    }
    for gain in gains_of(run, arms):
        pair = gain.pair
        baseline, candidate = ([*side.values()] for side in arms.of_pair(pair))
        jobs = [*baseline, *candidate]
        printed = published.get((pair.workload, pair.baseline, pair.candidate))
        a_a = is_a_a(run, pair, arms)
        row = GainRow(
            run=run.info.run,
            **identity(jobs, pair.workload),
            baseline=pair.baseline,
            candidate=pair.candidate,
            baseline_backend=backend_label(
                [*arms.replicates[pair.workload, pair.baseline].values()], pair.baseline
            ),
            candidate_backend=backend_label(
                [*arms.replicates[pair.workload, pair.candidate].values()], pair.candidate
            ),
            baseline_attention=attention(baseline),
            candidate_attention=attention(candidate),
            device=devices(jobs),
            protocol="interleaved" if is_interleaved(run, jobs) else "sequential",
            measure=gain.measure,
            source=jobs[0].source if jobs else "measured",
            replicates=known(jobs[0], "replicate", gain.replicates) if jobs else 0,
            n=known(jobs[0], "replicate", gain.ratio.n if gain.ratio else 0) if jobs else 0,
            log_ratio=with_interval(gain.ratio),
            latency_gain=Figure.of(*gain.latency),
            throughput_gain=Figure.of(*gain.throughput),
            cycles_throughput_gain=Figure.of(*transformed(gain.cycles, throughput_gain)),
            published_latency_gain=printed.latency_gain if printed else None,
            published_throughput_gain=printed.throughput_gain if printed else None,
            **_break_even(gain.break_even),
            a_a=a_a,
            **_floor(None if a_a else floor_for(gain, arms, floors)),
            **_parity(gain.parity),
            precision_target=_precision(run, gain),
            differs=list(pair.differs),
            left_out=gain.left_out,
            unobserved=gain.unobserved,
            outcome=gain.outcome,
        )
        rows.append(row)
    return rows


def stopping_of(run: Run, gain: Gain) -> Stopping | None:
    """How adaptive stopping ended for the pair, on the row of the measure that it watched."""
    measurement = run.info.measurement
    adaptive = measurement.adaptive if measurement is not None else None
    watched = adaptive.measure if adaptive is not None else STEADY_STATE.key
    if gain.measure.key != watched:
        return None
    pair = (gain.pair.workload, gain.pair.baseline, gain.pair.candidate)
    of_pair = [
        said for said in run.info.stopping if (said.workload, said.baseline, said.candidate) == pair
    ]
    return of_pair[-1] if of_pair else None


def _precision(run: Run, gain: Gain) -> PrecisionTarget | None:
    stopping = stopping_of(run, gain)
    return PrecisionTarget(stopping.state) if stopping else None


def _break_even(found: BreakEven | None) -> dict[str, Any]:
    step, low, high = (found.step, found.low, found.high) if found else (None, None, None)
    return {
        "break_even": str(found) if found else "",
        "break_even_step": finite(step),
        "break_even_step_low": finite(low),
        "break_even_step_high": finite(high),
    }


def _floor(floor: Floor | None) -> dict[str, Any]:
    return {
        "noise_floor": str(floor) if floor else "",
        "noise_floor_throughput_gain_low": floor.low if floor else None,
        "noise_floor_throughput_gain_high": floor.high if floor else None,
        "noise_floor_run": floor.run if floor else None,
    }


def _parity(parity: Parity | None) -> dict[str, Any]:
    return {
        "parity": parity.outcome if parity else None,
        "parity_reason": parity.reason if parity else "",
        "parity_metric": parity.metric if parity else "",
        "parity_loss_difference": parity.difference if parity else None,
        "parity_loss_tolerance": parity.tolerance if parity else None,
    }
