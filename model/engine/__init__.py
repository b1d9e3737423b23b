"""Continuous batching: sequences join and leave the running batch between two decode steps.

sequence       one source on its way through the engine
slots          which slots of the KV cache are free
waiting        who waits, and who of them is next
deadlines      who runs out of time
queue_wait     how long a newcomer waits
service_time   how long a request's own work takes
scheduler      who runs on one worker: integers and queues, no tensor
runner         what is asked of a device, and what it gives back
cpus           how many CPUs the kernel grants
backends       which runners a configuration stands for on this machine
eager_runner   plain PyTorch, on any device: the reference of the next two
native_runner  in C++, on the CPU
cuda_runner    graphs and kernels, on CUDA
engine         the loop, on a thread for each runner: schedule, execute, deliver
batch_trace    what happens in the running batch, while somebody watches
warm_up        work that means nothing, which shows how fast an engine is
"""
