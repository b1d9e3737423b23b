"""`polyhead bench`: this engine and others, on the same weights, texts and cores, in turns.

From the bottom up: a module imports what stands above it.

planned_lengths     random weights that end where they are asked to
models, workload    which weights, and what is translated
contender           what translates token ids, and how work comes in: an open loop, batches
ctranslate2_model   our weights in the form of CTranslate2
*_contender         ours and others behind one interface
text_engines        engines that take texts, and no ids
text_contenders     ours and those behind that interface, from text to text
machine             what it ran on
peaks, peak.cc      what the CPUs can do at most, and what a model asks of them
instruction_sets    how everybody is held to a lesser one
worker              a contender's process, and all of them, one at a time at work
options, budget     what is to be measured, and as much of it as the time allows
regimes             latency, throughput and Poisson arrivals, as jobs in turns
lengths             time, memory and attention's share by length; lengths_plot draws them
report              what came of it
benchmark           one run

Each contender lives in a process of its own, so that memory and threads are its own too. Parent and
workers talk through pipes; only workers import torch or CTranslate2.
"""
