"""Genetic correlation of two samples of different individuals, from their records or from summary statistics."""

from .individual import genetic_correlation
from .result import CorrelationTest, GeneticCorrelation
from .summary import genetic_correlation_from_summary

__all__ = ["CorrelationTest", "GeneticCorrelation", "genetic_correlation", "genetic_correlation_from_summary"]
