"""Which arms leave padding out of what they compute, as notes: under the gains, for the arms of a
pair then do not do the same work, and where MFU stands, for it counts the padding.
"""

from __future__ import annotations

from collections.abc import Collection

from report.analysis.metrics import MODEL_FLOPS_UTILIZATION
from report.analysis.padding import padding_shares, skipping_side
from report.analysis.replicates import arms_of, is_result
from report.loading.runs import Run
from report.tables.footnotes import name_arms
from report.tables.rows import SIDES


def padding_notes(run: Run) -> list[str]:
    """One sentence for every arm that leaves out padding which another arm of its pairs
    computes.
    """
    shares = padding_shares(run)
    workloads: dict[str, set[str]] = {}
    skipped: dict[str, dict[str, None]] = {}
    others: dict[str, set[str]] = {}
    computing: dict[str, dict[str, None]] = {}
    for pair in run.info.pairs:
        side = skipping_side(run, pair)
        for arm, other, name in zip(
            (pair.baseline, pair.candidate), (pair.candidate, pair.baseline), SIDES, strict=True
        ):
            workloads.setdefault(arm, set()).add(pair.workload)
            others.setdefault(arm, set()).add(other)
            if side == name:
                skipped.setdefault(arm, {})[pair.workload] = None
                computing.setdefault(arm, {})[other] = None
    said = []
    for arm, where in skipped.items():
        on = f" on {', '.join(where)}" if len(where) < len(workloads[arm]) else ""
        share = _of_the_tokens([shares.get((workload, arm)) for workload in where])
        names = [*computing[arm]]
        if len(names) == 1:
            compute = f"{names[0]} computes it"
        elif len(names) == len(others[arm]):
            compute = "the other arms of its pairs compute it"
        else:
            compute = f"{', '.join(names)} compute it"
        said.append(
            f"{arm}{on} leaves padding{share} out of the layers after the embeddings, except "
            f"attention itself; {compute}"
        )
    return said


def mfu_notes(run: Run) -> list[str]:
    """Of which arms the model FLOPs utilization is overstated."""
    measured = {
        key: replicates for key, replicates in arms_of(run).replicates.items() if replicates
    }
    overstated = {
        key: share
        for key, share in padding_shares(run).items()
        if any(
            is_result(job) and MODEL_FLOPS_UTILIZATION.read(job) is not None
            for job in measured[key].values()
        )
    }
    if not overstated:
        return []
    share = _of_the_tokens(overstated.values())
    return [
        f"MFU counts padding{share} that the arm leaves out, so it is overstated"
        + name_arms(overstated, measured)
    ]


def _of_the_tokens(shares: Collection[float | None]) -> str:
    """The text " (87% of the tokens)" or " (40 to 87% of the tokens)"; empty where one share is not
    known.
    """
    known = [share for share in shares if share is not None]
    if not known or len(known) < len(shares):
        return ""
    least, most = f"{100 * min(known):.0f}", f"{100 * max(known):.0f}"
    return f" ({most if least == most else f'{least} to {most}'}% of the tokens)"
