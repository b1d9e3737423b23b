"""Continuous batching: sequences join and leave the running batch between two decode steps.

sequence    one source on its way through the engine
slots       which slots of the KV cache are free
scheduler   who waits, who runs, who is done: integers and queues, no tensor
runner      what a step computes, on one device
engine      the loop, on its own thread: schedule, execute, update
"""
