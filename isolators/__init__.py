"""How a workload is isolated: one file an isolator, and the contract they share."""
