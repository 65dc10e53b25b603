"""The Python face of the agent's ``start`` verb: turns a Launch into a process and its events into values.

No Python runs in the timed path: the agent executes the launch and stamps CLOCK_MONOTONIC itself; this
module only writes its command line and reads its JSON lines.
"""
