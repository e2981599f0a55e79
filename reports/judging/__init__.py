"""What the runs show: who wins, by what factor, how sure that is, and what to doubt."""
