"""What is trained: architecture, initial weights and tokenizer."""
