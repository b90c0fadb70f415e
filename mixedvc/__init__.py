"""Variance-components mixed models: lme4 formulas, known covariances, exchangeable estimators."""
