# Fits the exported models with lme4: default control, then tight controls from the default start and from where the
# default ended; keeps the best criterion and whether that fit is singular.
#
#   Rscript tests/peers/lme4.R FOLDER [FIRST LAST]         writes FOLDER/lme4_FIRST.csv
suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
arguments <- commandArgs(TRUE)
folder <- arguments[1]
models <- fromJSON(file.path(folder, "manifest.json"), simplifyVector = FALSE)
first <- if (length(arguments) > 1) as.integer(arguments[2]) else 0
last <- if (length(arguments) > 2) as.integer(arguments[3]) else length(models) - 1

control <- function(optimizer, options) {
  lmerControl(optimizer = optimizer, optCtrl = options, calc.derivs = FALSE, check.conv.singular = "ignore",
              check.nobs.vs.nRE = "ignore", check.nlev.gtr.1 = "ignore")
}
tight <- control("nloptwrap", list(xtol_abs = 1e-12, xtol_rel = 1e-12, ftol_abs = 1e-12, ftol_rel = 1e-14, maxeval = 50000))
minqa <- control("bobyqa", list(rhoend = 1e-9, maxfun = 50000))

one <- function(m) {
  d <- read.csv(file.path(folder, paste0("m", m$number, ".csv")), stringsAsFactors = TRUE)
  fixed <- list(formula = as.formula(m$formula), data = d, REML = m$reml,
                weights = if (nzchar(m$weights)) d$w, offset = if (nzchar(m$offset)) d$o)
  attempt <- function(...) {
    tryCatch(suppressWarnings(suppressMessages(do.call(lmer, c(fixed, list(...))))), error = function(e) NULL)
  }
  plain <- attempt(control = lmerControl(calc.derivs = FALSE, check.nobs.vs.nRE = "ignore"))
  start <- if (is.null(plain)) NULL else getME(plain, "theta")
  controls <- if (m$n < 5000) list(tight, minqa) else list(tight)
  fits <- unlist(lapply(controls, function(k) list(attempt(control = k), attempt(control = k, start = start))))
  fits <- Filter(Negate(is.null), c(list(plain), fits))
  best <- fits[[which.max(sapply(fits, logLik))]]
  data.frame(number = m$number, checksum = m$checksum,
             lme4_default = if (is.null(plain)) NA else sprintf("%.13g", logLik(plain)),
             lme4_best = sprintf("%.13g", logLik(best)), lme4_singular = as.integer(isSingular(best)))
}
out <- file.path(folder, sprintf("lme4_%d.csv", first))
for (m in models[first:last + 1]) {
  row <- tryCatch(one(m), error = function(e) { message(m$number, ": ", conditionMessage(e)); NULL })
  if (!is.null(row)) write.table(row, out, sep = ",", append = file.exists(out), col.names = !file.exists(out), row.names = FALSE, quote = FALSE)
}
