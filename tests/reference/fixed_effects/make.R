# Makes the json files of this folder: tests of fixed effects by lmerTest, pbkrtest, car, emmeans and clubSandwich.
#
#   Rscript tests/reference/fixed_effects/make.R            (in the root of the repository)
#
# Needs lme4, lmerTest, pbkrtest, car, emmeans, clubSandwich, nlme, jsonlite.

suppressPackageStartupMessages({
  library(lmerTest); library(pbkrtest); library(car); library(emmeans); library(clubSandwich); library(nlme)
  library(jsonlite)
})
emm_options(msg.interaction = FALSE, lmerTest.limit = 1e6, pbkrtest.limit = 1e6)
lmer <- lmerTest::lmer
here <- "tests/reference/fixed_effects"

# ---- data ---------------------------------------------------------------------------------------------------

set.seed(20240607)
n <- 84
d <- data.frame(
  g = sprintf("g%02d", sample(1:14, n, TRUE)),
  A = sample(c("a1", "a2", "a3"), n, TRUE, c(.5, .3, .2)),
  B = sample(c("high", "low"), n, TRUE, c(.35, .65)),
  x = round(rnorm(n, 10, 3), 2),
  d = rbinom(n, 1, .3),
  k = sample(c(1, 2, 4), n, TRUE),
  w = round(runif(n, .5, 2), 2)
)
d$flag <- sample(c(FALSE, TRUE), n, TRUE, c(.4, .6))
u <- rnorm(14, 0, 1.2); v <- rnorm(14, 0, .3); j <- as.integer(sub("g", "", d$g))
d$y <- round(5 + (d$A == "a2") + 2 * (d$A == "a3") * (d$B == "low") + .2 * d$x + u[j] + v[j] * (d$x - 10) +
  rnorm(n) / sqrt(d$w), 4)
write.csv(d, file.path(here, "unbalanced", "data.csv"), row.names = FALSE)
m <- d[!(d$A == "a3" & d$B == "high"), c("g", "A", "B", "x", "y")]
write.csv(m, file.path(here, "missing_cell", "data.csv"), row.names = FALSE)
oats <- as.data.frame(nlme::Oats)
oats$Block <- as.character(oats$Block); oats$Variety <- as.character(oats$Variety)
write.csv(oats, file.path(here, "oats", "data.csv"), row.names = FALSE)

read <- function(name, factors, drop = NULL) {
  t <- read.csv(file.path(here, name, "data.csv"))
  if (length(drop)) t <- t[-drop, ]
  for (f in factors) t[[f]] <- factor(t[[f]])
  t
}
exact <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12, maxfun = 1e5), check.conv.singular = "ignore")

# ---- what is recorded ------------------------------------------------------------------------------------------

mat <- function(x) {
  x <- as.matrix(x)
  rows <- if (is.null(rownames(x))) seq_len(nrow(x)) else rownames(x)
  list(rows = I(as.character(rows)), cols = I(colnames(x)), values = unname(x))
}
frame <- function(x) {           # a data frame with text columns: a list of columns
  x <- as.data.frame(x)
  for (c in names(x)) if (is.factor(x[[c]])) x[[c]] <- as.character(x[[c]])
  lapply(x, I)
}
anovas <- function(fit) {
  out <- list()
  for (ddf in c("Satterthwaite", "Kenward-Roger")) for (type in 1:3)
    out[[paste(tolower(ddf), type, sep = "_")]] <- mat(as.data.frame(anova(fit, type = type, ddf = ddf)))
  out
}
tables <- function(fit) {
  out <- list(
    satterthwaite = mat(coef(summary(fit, ddf = "Satterthwaite"))),
    kenward_roger = mat(coef(summary(fit, ddf = "Kenward-Roger"))),
    vcov = mat(vcov(fit)), vcov_adjusted = mat(vcovAdj(fit)),
    sigma = sigma(fit), varcorr = as.data.frame(VarCorr(fit))$vcov, logLik = as.numeric(logLik(fit)))
  c(out, anovas(fit))
}
joint <- function(fit, L, rhs = 0) {
  kr <- contestMD(fit, L, rhs = rhs, ddf = "Kenward-Roger"); sa <- contestMD(fit, L, rhs = rhs)
  b <- if (all(rhs == 0)) 0 else drop(MASS::ginv(L) %*% rhs)
  test <- KRmodcomp(fit, L, betaH = b)$test
  list(L = unname(L), rhs = I(rhs), kenward_roger = mat(kr), satterthwaite = mat(sa), KRmodcomp = mat(as.matrix(test)))
}
cars <- function(formula, data, ...) {
  old <- options(contrasts = c("contr.sum", "contr.poly")); on.exit(options(old))
  fit <- lme4::lmer(formula, data, control = exact, ...)
  list(II = mat(as.data.frame(Anova(fit, type = 2, test.statistic = "F"))),
       III = mat(as.data.frame(Anova(fit, type = 3, test.statistic = "F"))))
}
emm <- function(fit, specs, df, ..., contrasts = character(), adjust = NULL) {
  e <- emmeans(fit, specs, lmer.df = df, ...)
  out <- list(means = frame(summary(e, infer = c(TRUE, FALSE))))
  for (c in contrasts) out[[c]] <- frame(summary(contrast(e, c), infer = c(TRUE, TRUE), adjust = "none"))
  for (a in adjust) out[[paste("pairwise", a)]] <- frame(summary(contrast(e, "pairwise"), infer = c(TRUE, TRUE), adjust = a))
  out
}
robust <- function(fit, cluster, types = c("CR0", "CR1", "CR1S", "CR2"), ...) {
  out <- list()
  for (t in types) {
    v <- vcovCR(fit, cluster = cluster, type = t, ...)
    out[[t]] <- list(vcov = mat(as.matrix(v)), test = frame(coef_test(fit, vcov = v, test = "Satterthwaite")))
  }
  out
}
versions <- sapply(c("lme4", "lmerTest", "pbkrtest", "car", "emmeans", "clubSandwich", "nlme"),
                   function(p) as.character(packageVersion(p)))
save_case <- function(case, call, ...) {
  meta <- list(R = R.version.string, packages = as.list(versions), call = call)
  write_json(c(list(meta = meta), list(...)), file.path(here, paste0(case, ".json")),
             digits = NA, auto_unbox = TRUE, na = "null", null = "null", pretty = FALSE)
  cat(case, "\n")
}
both <- c("satterthwaite", "kenward-roger")
per_df <- function(make) sapply(both, make, simplify = FALSE)

# ---- unbalanced ---------------------------------------------------------------------------------------------------

d <- read("unbalanced", c("g", "A", "B"))
call <- y ~ A * B + x + (1 | g)
fit <- lmer(call, d, control = exact)
L <- rbind(c(0, 1, 0, 0, 0, 0, 0), c(0, 0, 1, 0, 0, 0, 0), c(0, 0, 0, 0, 1, 0, .5))
save_case("unbalanced/crossed", deparse(call), fit = tables(fit), joint = joint(fit, L),
  joint_rhs = joint(fit, L[1:2, ], c(.5, 1)), car = cars(call, d),
  emmeans = per_df(function(df) list(
    A = emm(fit, ~A, df, contrasts = c("pairwise", "revpairwise", "trt.vs.ctrl", "eff", "poly", "consec"),
            adjust = c("tukey", "bonferroni", "holm", "sidak", "fdr")),
    A_proportional = emm(fit, ~A, df, weights = "proportional"),
    A_cells = emm(fit, ~A, df, weights = "cells"),
    A_outer = emm(fit, ~A, df, weights = "outer"),
    B_proportional = emm(fit, ~B, df, weights = "proportional"),
    A_by_B = emm(fit, ~ A | B, df, contrasts = "pairwise", adjust = "tukey"),
    AB = emm(fit, ~ A * B, df),
    A_at_x = emm(fit, ~ A + x, df, at = list(x = c(8, 12)))))
)
ds <- d; contrasts(ds$A) <- contr.sum(3); contrasts(ds$B) <- contr.helmert(2)
fits <- lmer(call, ds, control = exact)
save_case("unbalanced/sum_coding", "A by contr.sum, B by contr.helmert", fit = tables(fits))
call <- y ~ A + x + (x | g)
fit <- lmer(call, d, weights = w, control = exact)
L <- rbind(c(0, 1, 0, 0), c(0, 0, 1, 0))
save_case("unbalanced/weighted_slopes", paste(deparse(call), "weights w"), fit = tables(fit), joint = joint(fit, L),
  emmeans = per_df(function(df) list(A = emm(fit, ~A, df), A_proportional = emm(fit, ~x, df, weights = "proportional"))))
call <- y ~ A * poly(x, 2) + B + (1 | g)
fit <- lmer(call, d, control = exact)
trend <- function(df) frame(summary(emtrends(fit, ~A, var = "x", delta.var = 1e-6, lmer.df = df), infer = c(TRUE, FALSE)))
trend_at <- function(df) frame(summary(emtrends(fit, ~ A | x, var = "x", at = list(x = c(7, 13)), delta.var = 1e-6, lmer.df = df), infer = c(TRUE, FALSE)))
save_case("unbalanced/polynomial", deparse(call), fit = tables(fit),
  emmeans = per_df(function(df) list(A = emm(fit, ~A, df), x = emm(fit, ~x, df, at = list(x = c(5, 10))))),
  emtrends = per_df(function(df) list(A = trend(df), A_at = trend_at(df))))
call <- y ~ A + flag + d + factor(k) + log(x) + I(x^2) + (1 | g)
fit <- lmer(call, d, control = exact)
save_case("unbalanced/conventions", deparse(call), fit = tables(fit),
  emmeans = per_df(function(df) list(
    A = emm(fit, ~A, df), flag = emm(fit, ~flag, df), d = emm(fit, ~d, df), k = emm(fit, ~k, df),
    A_proportional = emm(fit, ~A, df, weights = "proportional"))))
call <- y ~ 0 + A + A:x + (1 | g)
fit <- lmer(call, d, control = exact)
save_case("unbalanced/no_intercept", deparse(call), fit = tables(fit))
call <- y ~ A * B * x + (1 | g)
fit <- lmer(call, d, control = exact)
save_case("unbalanced/three_way", deparse(call), fit = tables(fit))
call <- y ~ A + B + (1 | g) + (1 | k)
fit <- lmer(call, d, control = exact)
save_case("unbalanced/singular", deparse(call), fit = tables(fit))

# ---- missing cell ---------------------------------------------------------------------------------------------------

m <- read("missing_cell", c("g", "A", "B"))
call <- y ~ A * B + (1 | g)
fit <- suppressMessages(lmer(call, m, control = exact))
save_case("missing_cell/crossed", deparse(call), fit = tables(fit),
  emmeans = per_df(function(df) list(A = emm(fit, ~A, df), B = emm(fit, ~B, df), AB = emm(fit, ~ A * B, df),
    B_cells = emm(fit, ~B, df, weights = "cells"))))

# ---- split plot -------------------------------------------------------------------------------------------------------

for (v in list(list("balanced", NULL), list("incomplete", c(1, 2, 3, 5, 8, 13, 21, 34, 55)))) {
  o <- read("oats", c("Block", "Variety"), v[[2]])
  o$nitro <- factor(o$nitro)
  call <- yield ~ Variety * nitro + (1 | Block / Variety)
  fit <- lmer(call, o, control = exact)
  extra <- if (is.null(v[[2]])) {
    s <- summary(aov(yield ~ Variety * nitro + Error(Block / Variety), o))
    list(whole = mat(s[[2]][[1]][, ]), split = mat(s[[3]][[1]][, ]))
  }
  save_case(paste0("oats/", v[[1]]), paste(deparse(call), "rows left out:", paste(v[[2]], collapse = " ")),
    dropped = I(as.integer(v[[2]])), fit = tables(fit), aov = extra,
    emmeans = per_df(function(df) list(
      Variety = emm(fit, ~Variety, df, contrasts = "pairwise", adjust = "tukey"),
      nitro = emm(fit, ~nitro, df, contrasts = c("poly", "trt.vs.ctrl"), adjust = "tukey"))))
}

# ---- cluster-robust ---------------------------------------------------------------------------------------------------

f1 <- lme4::lmer(y ~ A * B + x + (x | g), d, control = exact)
d$inverse <- 1 / d$w
tight <- lmeControl(msTol = 1e-12, tolerance = 1e-12, opt = "nlminb", msMaxIter = 500)
f2 <- nlme::lme(y ~ A + x, random = ~ 1 | g, data = d, weights = varFixed(~inverse), control = tight)
save_case("unbalanced/robust", "vcovCR of y ~ A * B + x + (x | g), and of y ~ A + x + (1 | g) with weights w",
  slopes = robust(f1, d$g), slopes_HTZ = frame(Wald_test(f1, constrain_zero(c(2, 3, 6)), vcovCR(f1, d$g, "CR2"), test = "HTZ")),
  slopes_logLik = as.numeric(logLik(f1)),
  weighted = robust(f2, d$g), weighted_logLik = as.numeric(logLik(f2)))
o <- read("oats", c("Block", "Variety"), c(1, 2, 3, 5, 8, 13, 21, 34, 55)); o$nitro <- factor(o$nitro)
f3 <- lme4::lmer(yield ~ Variety + nitro + (1 | Block / Variety), o, control = exact)
f4 <- nlme::lme(yield ~ Variety + nitro, random = ~ 1 | Block / Variety, o,
  control = tight)
save_case("oats/robust", "vcovCR of yield ~ Variety + nitro + (1 | Block / Variety), incomplete rows, by lmer and by lme",
  lmer = robust(f3, o$Block), lme = robust(f4, o$Block), logLik = as.numeric(logLik(f3)))
