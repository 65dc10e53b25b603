"""What people read: statistics of a run, and the reports made from them. Needs result files only, no root."""
