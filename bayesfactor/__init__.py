"""Bayesian factor models of crypto returns."""
