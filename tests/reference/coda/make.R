# Numbers of R's coda and MCMCglmm's posterior.mode for the chains in chains.csv: Rscript make.R
library(coda)
chains <- as.mcmc(as.matrix(read.csv("chains.csv")))
tests <- unclass(heidel.diag(chains))
interval <- HPDinterval(chains, 0.95)
narrow <- HPDinterval(chains, 0.8)
numbers <- data.frame(
  chain = varnames(chains), geweke = geweke.diag(chains)$z, spectrum = spectrum0.ar(chains)$spec,
  stationary = tests[, "stest"], start = tests[, "start"], pvalue = tests[, "pvalue"], precise = tests[, "htest"],
  mean = tests[, "mean"], halfwidth = tests[, "halfwidth"],
  lower = interval[, "lower"], upper = interval[, "upper"], lower80 = narrow[, "lower"], upper80 = narrow[, "upper"],
  lag1 = autocorr.diag(chains, lags = 1)[1, ], lag10 = autocorr.diag(chains, lags = 10)[1, ],
  ess = effectiveSize(chains), mode = MCMCglmm::posterior.mode(chains)
)
options(digits = 15)
write.csv(format(numbers, digits = 15, trim = TRUE), "numbers.csv", row.names = FALSE, quote = FALSE)
writeLines(c(R.version.string, paste("coda", packageVersion("coda")), paste("MCMCglmm", packageVersion("MCMCglmm"))), "versions.txt")
