"""Model FLOPs utilization: how much of a card's peak the arithmetic that training needs by
definition makes use of.

A transformer layer with hidden size h, feed-forward size f and sequence length s, in one forward
pass over one sample:

    projections (Q, K, V, output)       8 s h^2  four h x h matrices, 2 FLOPs per weight and token
    attention (Q K^T, probabilities V)  4 s^2 h
    feed-forward                        4 s h f  two h x f matrices (6 s h f if gated)
    a decoder's attention to the encoder: projections and attention once more

The backward pass takes twice as much (gradients of inputs and of weights), so a training sample
needs three times the sum over the layers. With f = 4h that is 72 s h^2 (1 + s / 6h) per layer:
equation 3 of Narayanan et al. 2021 (arXiv:2104.04473) without its recomputation of activations (72
for 96) and, as classifiers have none, without the vocabulary's V / 12 l h. A classifier's head is
added: `head_layers` h x h matrices and one h x labels matrix on one token, and ALBERT's s x
embedding_size x h projection. Of a token classifier the h x labels matrix is on every token; of a
language model too, with the vocabulary for labels: the formula's V / 12 l h. The `model FLOPs` of
Chowdhery et al. 2022 (PaLM, appendix B) are the same quantity. Element-wise operations, the
softmax, embedding look-ups and the optimizer are not counted; padding is, for both arms compute it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from harness.schema.record import Efficiency, JobRecord, ModelShape, trained_length

# Dense peaks in FLOP/s by the card's name in NVML. fp16 and bf16: tensor cores, without sparsity
# (data sheets that give the sparse figure: half of it), 32-bit accumulation. fp32: CUDA cores, for
# PyTorch multiplies fp32 matrices in full fp32 unless TF32 is switched on. At the boost clock of
# the data sheet; a card may run above or below it. NVIDIA's data sheets: A100 (2021), H100 (2023),
# H200 (2024), L4, L40, L40S (2023), T4 (2019), V100 and V100S (2020), A10, A30, A40 (2021), RTX
# A6000 (2021); GeForce: white papers Ampere GA102 (2021) and Ada (2022).
_PEAKS: list[tuple[str, dict[str, float]]] = [
    (
        r"A100[- ](SXM4|PCIE)-\d+GB|A100 80GB PCIe",
        {"fp16": 312e12, "bf16": 312e12, "fp32": 19.5e12},
    ),
    (r"H100 80GB HBM3", {"fp16": 989.4e12, "bf16": 989.4e12, "fp32": 67e12}),
    (r"H100 PCIe", {"fp16": 756e12, "bf16": 756e12, "fp32": 51e12}),
    (r"H100 NVL", {"fp16": 835.5e12, "bf16": 835.5e12, "fp32": 60e12}),
    (r"H200", {"fp16": 989.4e12, "bf16": 989.4e12, "fp32": 67e12}),
    (r"H200 NVL", {"fp16": 835.5e12, "bf16": 835.5e12, "fp32": 60e12}),
    (r"L4", {"fp16": 121e12, "bf16": 121e12, "fp32": 30.3e12}),
    (r"L40", {"fp16": 181.05e12, "bf16": 181.05e12, "fp32": 90.5e12}),
    (r"L40S", {"fp16": 362.05e12, "bf16": 362.05e12, "fp32": 91.6e12}),
    (r"T4", {"fp16": 65e12, "fp32": 8.1e12}),
    (r"V100-SXM2-\d+GB(-LS)?", {"fp16": 125e12, "fp32": 15.7e12}),
    (r"V100-PCIE-\d+GB", {"fp16": 112e12, "fp32": 14e12}),
    (r"V100S-PCIE-\d+GB", {"fp16": 130e12, "fp32": 16.4e12}),
    (r"A10", {"fp16": 125e12, "bf16": 125e12, "fp32": 31.2e12}),
    (r"A30", {"fp16": 165e12, "bf16": 165e12, "fp32": 10.3e12}),
    (r"A40", {"fp16": 149.7e12, "bf16": 149.7e12, "fp32": 37.4e12}),
    (r"RTX A6000", {"fp16": 154.8e12, "bf16": 154.8e12, "fp32": 38.7e12}),
    (r"GeForce RTX 3090", {"fp16": 71e12, "bf16": 71e12, "fp32": 35.6e12}),
    (r"GeForce RTX 4090", {"fp16": 165.2e12, "bf16": 165.2e12, "fp32": 82.6e12}),
]
_VENDOR = r"(NVIDIA |Tesla )*"

# Keys of a transformers configuration, and layers of the classification head, by model type. Types
# with further matrix products in a layer (deberta: relative positions) are left out: unknown, not
# approximated.
_BERT_KEYS = {
    "layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
}
_KEYS: dict[str, dict[str, str]] = {
    "bert": _BERT_KEYS,
    "roberta": _BERT_KEYS,
    "electra": _BERT_KEYS,
    "albert": _BERT_KEYS,
    "distilbert": {"layers": "n_layers", "hidden_size": "dim", "intermediate_size": "hidden_dim"},
    "gpt2": {"layers": "n_layer", "hidden_size": "n_embd", "intermediate_size": "n_inner"},
    "t5": {"layers": "num_layers", "hidden_size": "d_model", "intermediate_size": "d_ff"},
}
_WITHOUT_HEAD_LAYER = ("gpt2",)


def shape_of(
    config: Mapping[str, Any], labels: int = 2, *, every_token: bool = False
) -> ModelShape | None:
    """The shape from a transformers configuration (its to_dict(), or
    harness.schema.shapes.SHAPES); None: not known.

    `labels`: classes, 1 for a regression. `every_token`: the head is one hidden x labels matrix, on
    every token, as of token classifiers and of GPT-2's language model (there `labels` is the
    vocabulary).
    """
    kind = config.get("model_type")
    if kind not in _KEYS:
        return None
    values = {name: config.get(key) for name, key in _KEYS[kind].items()}
    hidden, inner = values["hidden_size"], values["intermediate_size"]
    if kind == "gpt2" and inner is None and hidden is not None:
        inner = 4 * hidden
    if values["layers"] is None or hidden is None or inner is None:
        return None
    decoder_layers, gated = 0, False
    if kind == "t5":
        if (
            config.get("num_heads", 0) * config.get("d_kv", 0) != hidden
        ):  # t5-3b, t5-11b: projections are not h x h
            return None
        gated = str(config.get("feed_forward_proj", "")).startswith("gated")
        if not every_token:  # token classifiers have the encoder alone
            decoder_layers = config.get("num_decoder_layers") or values["layers"]
    embedding = config.get("embedding_size")
    return ModelShape(
        layers=values["layers"],
        decoder_layers=decoder_layers,
        hidden_size=hidden,
        intermediate_size=inner,
        labels=labels,
        head_layers=0 if every_token or kind in _WITHOUT_HEAD_LAYER else 1,
        every_token=every_token,
        embedding_size=embedding if embedding not in (None, hidden) else None,
        gated=gated,
    )


def model_flops_per_sample(shape: ModelShape, sequence_length: int) -> int:
    """FLOPs of the forward and the backward pass of one sample of `sequence_length` tokens, padding
    included.
    """
    s, h, f = sequence_length, shape.hidden_size, shape.intermediate_size
    feed_forward = (6 if shape.gated else 4) * s * h * f
    attention = 8 * s * h * h + 4 * s * s * h
    head = (2 * h * h * shape.head_layers + 2 * h * shape.labels) * (s if shape.every_token else 1)
    projection = 2 * s * shape.embedding_size * h if shape.embedding_size is not None else 0
    layers = shape.layers * (attention + feed_forward) + shape.decoder_layers * (
        2 * attention + feed_forward
    )
    return 3 * (layers + head + projection)


def peak_flops_per_s(gpu: str, precision: str) -> float | None:
    """A card's dense peak by its full NVML name; None for a card or precision not in the table, MIG
    slices too.
    """
    for name, peaks in _PEAKS:
        if re.fullmatch(_VENDOR + f"({name})", gpu):
            return peaks.get(precision)
    return None


def model_flops_utilization(
    flops_per_sample: float, samples_per_s: float, peak: float, cards: int = 1
) -> float:
    """Share of the peak of all cards, 0 to 1."""
    return flops_per_sample * samples_per_s / (peak * cards)


def efficiency(record: JobRecord) -> Efficiency:
    """What can be said of a job; a figure that would have to be guessed is None.

    Needs the worker's `shape`, a fixed sequence length (pad_to_max_length), a known card and a
    steady state. Adapters leave out the gradients of most weights, so their FLOPs are not those of
    the formula. Padding counts, also where a backend leaves it out (record.leaves_padding_out).
    """
    training = record.workload.training
    flops = None
    whole = training.lora_rank is None
    if record.shape is not None and training.pad_to_max_length and whole:
        flops = float(model_flops_per_sample(record.shape, trained_length(record)))
    peak = peak_flops_per_s(record.device, training.precision)
    rate = record.timing.steady_samples_per_s
    cards = record.workload.launch.world_size
    utilization = None
    if flops is not None and peak is not None and rate is not None:
        utilization = model_flops_utilization(flops, rate, peak, cards)
    return Efficiency(
        flops_per_sample=flops, peak_flops_per_s=peak, model_flops_utilization=utilization
    )
