"""Markov chains on the posterior of the variance parameters, and exact draws of the effects given them."""
