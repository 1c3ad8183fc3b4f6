"""A run and a picture whose every text would act as HTML if it was not escaped."""

from __future__ import annotations

from report_factory import four_pairs, make_job, make_run

from harness.schema.record import Host, Pair, State
from report.loading.runs import Run
from report.plots import Picture

HOSTILE = """<script>alert(1)</script>"'></style></title><img src=x onerror=alert(2)>&lt;"""


def hostile_run() -> Run:
    jobs = [
        *four_pairs(),
        make_job(
            "onnxruntime",
            4,
            state=State.CRASHED,
            reason=HOSTILE,
            device=HOSTILE,
            packages={HOSTILE: HOSTILE},
        ),
    ]
    return make_run(
        jobs,
        run=HOSTILE,
        suite=HOSTILE,
        description=HOSTILE,
        notes=[HOSTILE],
        packages={HOSTILE: HOSTILE},
        environment={"OMP_X": HOSTILE},
        config={"suite": HOSTILE, HOSTILE: [HOSTILE]},
        host=Host(cpu=HOSTILE),
        pairs=[
            Pair(
                workload="tiny-sst2", baseline="pytorch", candidate="onnxruntime", differs=[HOSTILE]
            ),
            Pair(workload=HOSTILE, baseline=HOSTILE, candidate=HOSTILE + "2"),
        ],
    )


def hostile_picture() -> Picture:
    inside = f"<title><![CDATA[{HOSTILE}]]></title><script>alert(3)</script>"
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9">{inside}</svg>'
    return Picture("gains", HOSTILE, HOSTILE, HOSTILE, svg, HOSTILE)
