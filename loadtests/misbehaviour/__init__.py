"""What a well-behaved client loses while others misbehave.

`python -m loadtests.misbehaviour` attacks a deployment that runs already, in one way after another,
and measures how a client fares that does nothing wrong. Attack what is yours alone.
"""
