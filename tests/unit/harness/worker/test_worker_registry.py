"""What the parent process needs of the worker package, without torch: backends, their options,
built-in shapes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import worker_helpers as worker
from folders import ROOT
from pydantic import ValidationError

from harness.errors import BenchError
from harness.schema.variables import is_decisive
from harness.worker import backends, tasks


def test_backends_tasks_and_shapes_are_known_without_torch() -> None:
    code = """
import sys
from harness.worker import backends, tasks
from harness.schema.shapes import SHAPES
for name in backends.BACKENDS:
    assert backends.get(name).name == name
    backends.get(name).Options()
for kind in tasks.TASKS:
    assert tasks.get(kind).name == kind
    tasks.get(kind).Options()
heavy = {"torch", "transformers", "optimum", "onnxruntime", "datasets"} & set(sys.modules)
assert not heavy, heavy
assert {"roberta-base", "roberta-large", "bert-base", "roberta-tiny", "bert-tiny"} <= set(SHAPES)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_an_unknown_backend_names_the_known_ones() -> None:
    with pytest.raises(BenchError, match="onnxruntime") as caught:
        backends.get("jax")
    assert "pytorch" in caught.value.fix


def test_an_unknown_kind_of_task_names_the_known_ones() -> None:
    with pytest.raises(BenchError, match="glue"):
        tasks.get("squad")


@pytest.mark.parametrize(
    "options", [{"tritn": True}, {"memory_opt_level": 9}, {"disable_fallback": False}]
)
def test_bad_options_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        backends.get("onnxruntime").Options.model_validate(options)


def _environment(tmp_path, **changes):  # type: ignore[no-untyped-def]
    from harness.schema.job import JobSpec

    spec = JobSpec.model_validate(worker.spec(tmp_path, "onnxruntime", **changes))
    return backends.get("onnxruntime")(spec).environment()


def test_fallback_is_always_forbidden_and_switches_are_off_by_default(tmp_path: Path) -> None:
    assert _environment(tmp_path) == {"ORTMODULE_FALLBACK_POLICY": "FALLBACK_DISABLE"}


def test_switches_become_variables(tmp_path: Path) -> None:
    found = _environment(
        tmp_path, arm={"options": {"triton": True, "flash_attention": True, "memory_opt_level": 1}}
    )
    assert found["ORTMODULE_USE_TRITON"] == found["ORTMODULE_USE_FLASH_ATTENTION"] == "1"
    assert found["ORTMODULE_MEMORY_OPT_LEVEL"] == "1"


def test_padding_is_computed_only_where_that_is_asked_for(tmp_path: Path) -> None:
    name = "ORTMODULE_ENABLE_EMBEDDING_SPARSE_OPTIMIZER"
    off = {"options": {"embedding_sparse_optimizer": False}}
    assert _environment(tmp_path, arm=off)[name] == "0"
    assert name not in _environment(tmp_path, arm={"options": {"triton": True}})
    assert is_decisive(name)  # it stands in the record


def test_every_configuration_has_an_export_cache_of_its_own(tmp_path: Path) -> None:
    def folder(**changes: object) -> str:
        return _environment(tmp_path, arm={"options": {"export_cache": True}}, **changes)[
            "ORTMODULE_CACHE_DIR"
        ]

    assert folder() == folder(replicate=3)
    assert len({folder(), folder(training={"batch_size": 4}), folder(parity_run=True)}) == 3


def test_a_model_replaced_in_its_folder_is_exported_anew(tmp_path: Path) -> None:
    """Same path and shapes, another activation: the graph of the one before would train something
    else.
    """
    model = {"path": str(tmp_path / "mine"), "architecture": None, "weights": "pretrained"}
    (tmp_path / "mine").mkdir()

    def folder(activation: str) -> str:
        (tmp_path / "mine" / "config.json").write_text(
            f'{{"model_type": "bert", "hidden_act": "{activation}"}}'
        )
        return _environment(tmp_path, model=model, arm={"options": {"export_cache": True}})[
            "ORTMODULE_CACHE_DIR"
        ]

    assert folder("gelu") == folder("gelu") != folder("relu")
