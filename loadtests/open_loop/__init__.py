"""`polyhead loadtest`: requests at planned times, whatever the service does (an open loop).

exchanges           what became of each request: a table, and figures of it
profiles            rates as a function of time, and Poisson arrivals drawn from them
client              HTTP/1.1 that costs its sender little
generator           requests sent when they are due, or one after the other
thresholds, options what is to be tested, and what decides whether it was passed
probe               one request of each kind before the load
steps               the stretches of a profile, and the knee
planned             profiles whose rates are known, and how any test ends
overload/           the profile whose rates are found on the way
memory              the memory of the service meanwhile
figures             what it comes to: the line of JSON, from which the reports are made
report, page, plots tables and words, and a page of HTML
run                 all of it, from options to the exit status
"""
