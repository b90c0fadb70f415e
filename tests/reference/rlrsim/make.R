# Exact (restricted) likelihood ratio tests by RLRsim, and its simulated null distributions; writes tests.json.
suppressPackageStartupMessages({library(lme4); library(RLRsim); library(jsonlite)})
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5), check.conv.singular = "ignore")
quantiles <- c(.5, .75, .9, .95, .99)
distribution <- function(X, Z, sqrt.Sigma, n = 1e5, ml = FALSE) {
  set.seed(1)
  s <- if (ml) LRTSim(X, Z, q = 0, sqrt.Sigma = sqrt.Sigma, nsim = n) else RLRTSim(X, Z, sqrt.Sigma = sqrt.Sigma, nsim = n)
  list(nsim = n, zero = mean(s < 1e-8), quantiles = unname(quantile(s, quantiles)), p = quantiles)
}
test <- function(f) { set.seed(1); r <- f; list(statistic = unname(r$statistic), p = r$p.value) }
out <- list()
sl <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy, control = tight)
out$sleepstudy_intercept <- test(exactRLRT(sl, nsim = 1e5))
d2 <- lmer(Yield ~ 1 + (1 | Batch), Dyestuff, control = tight)
out$dyestuff <- test(exactRLRT(d2, nsim = 1e5))
ml <- lmer(Yield ~ 1 + (1 | Batch), Dyestuff, REML = FALSE, control = tight)
out$dyestuff_ml <- test(exactLRT(ml, lm(Yield ~ 1, Dyestuff), nsim = 1e5))
# several terms: m has the tested one alone
mA <- lmer(strength ~ 1 + (1 | sample) + (1 | batch), Pastes, control = tight)
m <- lmer(strength ~ 1 + (1 | batch), Pastes, control = tight)
m0 <- lmer(strength ~ 1 + (1 | sample), Pastes, control = tight)
out$pastes_batch <- test(exactRLRT(m, mA, m0, nsim = 1e5))
mA <- lmer(Reaction ~ Days + (1 | Subject) + (0 + Days | Subject), sleepstudy, control = tight)
m <- lmer(Reaction ~ Days + (0 + Days | Subject), sleepstudy, control = tight)
m0 <- lmer(Reaction ~ Days + (1 | Subject), sleepstudy, control = tight)
out$sleepstudy_days <- test(exactRLRT(m, mA, m0, nsim = 1e5))
out$sleepstudy_days_distribution <- distribution(getME(m, "X"), as.matrix(getME(m, "Z")), diag(18))
# unbalanced groups with a covariate; the same data are made by the test from these numbers
g <- rep(1:8, times = c(1, 2, 3, 4, 5, 6, 7, 12)); n <- length(g)
x <- sin(1:n); X <- cbind(1, x); Z <- model.matrix(~ 0 + factor(g))
out$unbalanced <- distribution(X, Z, diag(8))
out$unbalanced_ml <- distribution(X, Z, diag(8), ml = TRUE)
# a known covariance among 12 levels, correlations .8^|i-j|, each level seen in rows 1..30 cyclically
A <- outer(1:12, 1:12, function(i, j) .8^abs(i - j)); Z <- diag(12)[rep(1:12, length.out = 30), ]
x <- cos(1:30); X <- cbind(1, x)
out$kernel <- distribution(X, Z, chol(A))
out$versions <- list(R = R.version.string, RLRsim = as.character(packageVersion("RLRsim")), lme4 = as.character(packageVersion("lme4")))
write(toJSON(out, digits = 10, auto_unbox = TRUE, pretty = TRUE), "tests.json")
