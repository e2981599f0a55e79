"""What rate each policy can take: trials over rates and seeds, on worker processes or Ray."""
