"""What the runs say: who leads, by what factor, how sure that is, and what one should doubt."""
