"""`make setup`: packages by uv, ONNX Runtime's extensions, and the proof that both arms train."""
