"""What `CudaRunner` is made of.

stream         a queue of work on a device: graphs, uploads, marks
device_model   the model as two programs of operations: encode, and one decode step
program        what is computed: those two, or what takes their place
packing        sources one behind the other, as the encoder wants them
decode_group   the running sequences of one kind, and the graphs that decode them
budget         how much memory all of it takes
search_trace   what a search left behind on the device, as hypotheses
"""
