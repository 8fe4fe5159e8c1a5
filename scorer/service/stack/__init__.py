"""`qscore up`: all processes of one machine."""
