"""The paper's network: attention, encoder and decoder, caches, quantization."""
