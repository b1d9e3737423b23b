"""`polyhead loadtest`: requests at planned times, whatever the service does (an open loop).

exchanges     what became of each request: a table, and figures of it
profiles      rates as a function of time, and Poisson arrivals drawn from them
client        HTTP/1.1 that costs its sender little
generator     requests sent when they are due, or one after the other, until a signal ends it
options       what is to be tested, and the thresholds that decide whether it was passed
overload/     the profile whose rates are found on the way
memory        the memory of the service meanwhile
figures       the line of JSON, from which the reports are made: steps, the knee, and all else
report, plots tables, and a page of HTML
run           all of it, from options to the exit status
"""
