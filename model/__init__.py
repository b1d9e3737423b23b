"""The Transformer, from weights to tokens to text.

Knows no web framework, no Ray and no metrics library: `service` hosts what lives here.
"""
