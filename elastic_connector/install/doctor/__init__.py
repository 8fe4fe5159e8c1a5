"""`qscore elastic doctor`: what is wrong with the Elastic side, and what to do about it."""
