# Refits the lme4 and nlme cases of this folder and compares with the json beside it.
#
#   Rscript tests/reference/lme4/check.R            (in the root of the repository)
#
# Needs lme4, nlme and jsonlite. Stops with the first number that differs by more than its tolerance.

suppressPackageStartupMessages({
  library(lme4)
  library(nlme)
  library(jsonlite)
})
here <- "tests/reference/lme4"
want <- function(case) fromJSON(file.path(here, paste0(case, ".json")), simplifyVector = FALSE)
table <- function(path, factors) {
  d <- read.csv(path)
  for (f in factors) d[[f]] <- factor(d[[f]])
  d
}
same <- function(what, got, wanted, tolerance) {
  wanted <- unlist(wanted, use.names = FALSE)
  off <- max(abs(as.numeric(got) - wanted) / pmax(1, abs(wanted)))
  if (!is.finite(off) || off > tolerance) stop(what, ": differs by ", off)
}

check_lmer <- function(case, fit, block) {
  vc <- as.data.frame(VarCorr(fit))
  same(paste(case, "logLik"), logLik(fit), block$logLik, 1e-8)
  same(paste(case, "fixef"), fixef(fit), block$fixef, 1e-6)
  same(paste(case, "se"), sqrt(diag(as.matrix(vcov(fit)))), block$se, 1e-5)
  same(paste(case, "varcorr"), vc$vcov, lapply(block$varcorr, `[[`, "vcov"), 1e-4)
  cat(sprintf("%-36s %-5s logLik %.6f\n", case, if (isREML(fit)) "REML" else "ML", logLik(fit)))
}
lmer_cases <- list(
  list("sleepstudy/intercept", Reaction ~ Days + (1 | Subject), "Subject"),
  list("sleepstudy/slope_correlated", Reaction ~ Days + (Days | Subject), "Subject"),
  list("sleepstudy/slope_uncorrelated", Reaction ~ Days + (Days || Subject), "Subject"),
  list("dyestuff/batch", Yield ~ 1 + (1 | Batch), "Batch"),
  list("dyestuff2/batch_boundary", Yield ~ 1 + (1 | Batch), "Batch"),
  list("penicillin/crossed", diameter ~ 1 + (1 | plate) + (1 | sample), c("plate", "sample")),
  list("pastes/nested", strength ~ 1 + (1 | batch / cask), c("batch", "cask")),
  list("orthodont/lmer_intercept", distance ~ age * Sex + (1 | Subject), "Subject"),
  list("orthodont/lmer_slope", distance ~ age * Sex + (age | Subject), "Subject")
)
for (case in lmer_cases) {
  d <- table(file.path("data", paste0(dirname(case[[1]]), ".csv")), case[[3]])
  if (!is.null(d$Sex)) d$Sex <- factor(d$Sex, c("Male", "Female"))
  for (reml in c(TRUE, FALSE)) {
    fit <- suppressMessages(lmer(case[[2]], d, REML = reml))
    check_lmer(case[[1]], fit, want(case[[1]])[[if (reml) "REML" else "ML"]])
  }
}
w <- table(file.path(here, "sleepstudy/data_weights.csv"), "Subject")
check_lmer("sleepstudy/weights", lmer(Reaction ~ Days + (Days | Subject), w, weights = w), want("sleepstudy/weights"))
m <- table(file.path(here, "sleepstudy/data_missing.csv"), "Subject")
check_lmer("sleepstudy/missing_rows", lmer(Reaction ~ Days + (Days | Subject), m), want("sleepstudy/missing_rows"))

o <- table("data/orthodont.csv", "Subject")
o$Sex <- factor(o$Sex, c("Male", "Female"))
for (method in c("REML", "ML")) {
  fits <- list(
    intercept = lme(distance ~ age * Sex, o, ~ 1 | Subject, method = method),
    slope = lme(distance ~ age * Sex, o, ~ age | Subject, method = method),
    ar1 = lme(distance ~ age * Sex, o, ~ 1 | Subject, method = method, correlation = corAR1(form = ~ 1 | Subject)),
    hetvar_sex = lme(distance ~ age * Sex, o, ~ 1 | Subject, method = method, weights = varIdent(form = ~ 1 | Sex))
  )
  for (name in names(fits)) {
    case <- sprintf("orthodont/nlme_%s_%s", name, tolower(method))
    block <- want(case)
    same(paste(case, "logLik"), logLik(fits[[name]]), block$logLik, 1e-8)
    same(paste(case, "fixef"), fixef(fits[[name]]), block$fixef, 1e-5)
    cat(sprintf("%-36s %-5s logLik %.6f\n", case, method, logLik(fits[[name]])))
  }
}
