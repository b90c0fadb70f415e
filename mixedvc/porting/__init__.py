"""R's names for what mixedvc does: scripts for lme4 line by line, and a translator of R calls."""
