"""`polyhead bench`: this engine and others, on the same weights, texts and cores, in turns.

From the bottom up: a module imports what stands above it.

planned_lengths     random weights that end where they are asked to
models, workload    which weights, and what is translated
contender           what translates token ids, and how work comes in: an open loop, batches
ctranslate2_model   our weights in the form of CTranslate2
*_contender         ours and others behind one interface
machine             what it ran on
worker              a contender's process, and all of them, one at a time at work
options             what is to be measured
regimes             latency, throughput and Poisson arrivals, as jobs in turns
report              what came of it
benchmark           one run; who does not keep the planned lengths is excluded

Each contender lives in a process of its own, so that memory and threads are its own too. Parent and
workers talk through pipes; only workers import torch, CTranslate2 or transformers.
"""
