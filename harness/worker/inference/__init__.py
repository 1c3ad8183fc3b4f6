"""Inference of the trained model by PyTorch and by ONNX Runtime: the same weights, the same
batches, in turns.

`phase` runs in the job: it saves the trained model and its validation batches, starts `child` and
judges what came back. The child is a process of its own, so that whatever it does (other libraries,
a crash of an exporter, another memory allocator) reaches neither the training nor its record, and
so that both arms' models are measured alike.
"""
