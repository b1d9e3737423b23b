"""`polyhead loadtest`: requests at planned times, whatever the service does (an open loop).

exchanges           what became of each request: a table, and figures of it
profiles            rates as a function of time, and Poisson arrivals drawn from them
client              HTTP/1.1 that costs its sender little
generator           requests sent when they are due: the one generator of all open loops
options             what is to be tested, and the thresholds that decide whether it was passed
probe               one request of each kind before the load
steps               the stretches of a profile, and the knee
planned             profiles whose rates are known: generators in processes of their own
overload/           the profile whose rates are found on the way
memory              the memory of the service meanwhile
result, report      what it comes to, in tables and as a line of JSON
page, plots         the same as a page of HTML
command             all of it, from options to the exit status
"""
