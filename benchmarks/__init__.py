"""What is measured: one file a benchmark, their contract, and the agent that runs inside."""
