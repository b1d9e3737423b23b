"""`polyhead bench`: this engine and others, on the same weights, texts and cores, in turns.

From the bottom up: a module imports what stands above it.

errors, figures     why a benchmark cannot be run; what is said of several rounds
planned_lengths     random weights that end where they are asked to
models, workload    which weights, and what is translated
contender           what translates token ids, and how work comes in
arrivals            an open loop, and a server for those who translate batches
*_model             our weights in the form of others
*_contender         ours and others behind one interface
machine             what it ran on
worker, field       a contender's process, and all of them, one at a time at work
options             what is to be measured
plan_check          who does not keep the planned lengths is excluded
regimes             latency, throughput and Poisson arrivals, as jobs in turns
report              what came of it
benchmark           one run, from the words of the command line on

Each contender lives in a process of its own, so that memory and threads are its own too. Parent and
workers talk through pipes; only workers import torch, CTranslate2 or transformers.
"""
