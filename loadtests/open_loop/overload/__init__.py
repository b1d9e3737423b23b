"""`polyhead loadtest overload`: more than a service can do, and what it makes of that.

The rates follow from what the service bears, so they are found out on the way: no plan for locust.
"""
