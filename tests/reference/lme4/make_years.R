# sleepstudy with days counted from another origin (years do the same): the model is unchanged, lmer's optimum is not.
#
#   Rscript tests/reference/lme4/make_years.R       (in the root of the repository; needs lme4, jsonlite)
suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
rows <- lapply(c(0, 100, 500, 2000), function(origin) {
  d <- transform(sleepstudy, x = Days + origin)
  fit <- suppressMessages(suppressWarnings(lmer(Reaction ~ x + (x | Subject), d)))
  list(origin = origin, logLik = as.numeric(logLik(fit)), singular = isSingular(fit))
})
write_json(list(packages = list(R = "4.2.2", lme4 = as.character(packageVersion("lme4"))), fits = rows),
           "tests/reference/lme4/sleepstudy/years.json", digits = NA, auto_unbox = TRUE)
