"""What `import qscore` offers to people who write Python: estimators, plots, and signed models scored in place."""
