# Standard deviations and quantiles of lme4::bootMer replicates; writes sleepstudy.json.
suppressPackageStartupMessages({library(lme4); library(jsonlite)})
values <- function(m) { v <- as.data.frame(VarCorr(m)); c(fixef(m), setNames(v$sdcor, paste(v$grp, v$var1, v$var2))) }
out <- list()
m <- lmer(Reaction ~ Days + (Days | Subject), sleepstudy)
for (kind in c("parametric", "fitted")) {
  b <- suppressWarnings(suppressMessages(bootMer(m, values, nsim = 4000, seed = 1, use.u = kind == "fitted")))
  out[[kind]] <- list(names = names(b$t0), estimate = unname(b$t0), mean = unname(colMeans(b$t, na.rm = TRUE)), sd = unname(apply(b$t, 2, sd, na.rm = TRUE)),
                      lower = unname(apply(b$t, 2, quantile, .025, na.rm = TRUE)), upper = unname(apply(b$t, 2, quantile, .975, na.rm = TRUE)), nsim = 4000)
}
t <- system.time(suppressWarnings(suppressMessages(bootMer(m, values, nsim = 300, seed = 1))))
out$seconds_for_300 <- t[["elapsed"]]; print(t)
out$versions <- list(R = R.version.string, lme4 = as.character(packageVersion("lme4")))
write(toJSON(out, digits = 10, auto_unbox = TRUE, pretty = TRUE), "sleepstudy.json")
