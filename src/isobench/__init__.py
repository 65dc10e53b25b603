"""isobench: what each way of isolating a Linux workload costs, and whether it keeps its promises."""

__version__ = "0.1.0"
