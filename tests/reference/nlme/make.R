# Residual structures by nlme::gls and nlme::lme; run as: Rscript make.R (nlme and jsonlite; writes the files beside it)
library(nlme)
library(jsonlite)

gls_control <- glsControl(tolerance = 1e-12, msTol = 1e-12, maxIter = 500, msMaxIter = 2000, returnObject = TRUE)
lme_control <- lmeControl(tolerance = 1e-12, msTol = 1e-12, maxIter = 500, msMaxIter = 2000, niterEM = 200, returnObject = TRUE)

# Orthodont with an occasion 0..3, 21 rows left out (gaps, groups of 1 to 4 rows), a known factor of the variance
d <- as.data.frame(Orthodont)
d$Subject <- factor(as.character(d$Subject))
d$occ <- (d$age - 8) / 2
d$turn <- d$occ + 1
d$v <- 1 + (seq_len(nrow(d)) %% 5) / 4
set.seed(4)
gone <- sort(sample(nrow(d), 21))
g <- d[-gone, ]
g <- g[sample(nrow(g)), ]
rownames(g) <- NULL
write.csv(g, "gaps.csv", row.names = FALSE, quote = FALSE)

# 12 series of 25 to 40 points, a random intercept and slope, AR(1) errors of two sizes, in the order of time
set.seed(5)
s <- do.call(rbind, lapply(1:12, function(i) {
  n <- sample(25:40, 1)
  e <- as.numeric(arima.sim(list(ar = 0.6), n)) * 0.8
  t <- seq_len(n)
  sd <- if (i %% 2) 1 else 2
  data.frame(id = sprintf("s%02d", i), kind = if (i %% 2) "a" else "b", t = t, x = rnorm(n),
             y = 2 + rnorm(1) + (0.05 + 0.03 * rnorm(1)) * t + sd * e)
}))
s$y <- round(s$y + 0.5 * s$x, 4)
s$x <- round(s$x, 4)
write.csv(s, "series.csv", row.names = FALSE, quote = FALSE)

number <- function(x) unname(as.numeric(x))
record <- function(name, fit, data, residual, formula, ...) {
  fixed <- if (inherits(fit, "lme")) fixef(fit) else coef(fit)
  out <- list(
    data = data, formula = formula, residual = residual, method = fit$method, ...,
    logLik = number(logLik(fit)), sigma = fit$sigma, fixef = as.list(fixed), se = number(sqrt(diag(vcov(fit)))),
    cor = if (is.null(fit$modelStruct$corStruct)) NULL else number(coef(fit$modelStruct$corStruct, unconstrained = FALSE)),
    var = if (is.null(fit$modelStruct$varStruct) || inherits(fit$modelStruct$varStruct, "varFixed")) NULL else as.list(coef(fit$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)),
    random = if (inherits(fit, "lme")) unname(unclass(getVarCov(fit))[, , drop = FALSE]) else NULL,
    pearson = number(residuals(fit, type = "pearson")),
    normalized_ss = sum(residuals(fit, type = "normalized")^2),
    apVar = if (is.matrix(fit$apVar)) list(names = names(attr(fit$apVar, "Pars")), pars = number(attr(fit$apVar, "Pars")), values = unclass(unname(fit$apVar))[seq_len(nrow(fit$apVar)), , drop = FALSE]) else NULL
  )
  attr(out$apVar$values, "Pars") <- NULL
  attr(out$apVar$values, "natural") <- NULL
  results[[name]] <<- out
}
results <- list()
f <- distance ~ age * Sex
ft <- "distance ~ age * Sex"
for (m in c("REML", "ML")) {
  k <- function(x) paste0(x, "_", tolower(m))
  a <- function(...) gls(f, data = d, method = m, control = gls_control, ...)
  b <- function(...) gls(f, data = g, method = m, control = gls_control, ...)
  record(k("ar1"), a(correlation = corAR1(form = ~1 | Subject)), "orthodont", "ar1(1 | Subject)", ft)
  record(k("cs"), a(correlation = corCompSymm(form = ~1 | Subject)), "orthodont", "cs(1 | Subject)", ft)
  record(k("varident"), a(weights = varIdent(form = ~1 | Sex)), "orthodont", "diag(0 + Sex | rows)", ft)
  record(k("us"), a(correlation = corSymm(form = ~turn | Subject), weights = varIdent(form = ~1 | occ)), "orthodont", "us(0 + age | Subject)", ft)
  record(k("ar1_gaps"), b(correlation = corAR1(form = ~occ | Subject)), "gaps", "ar1(0 + age | Subject)", ft)
  record(k("ar1_order"), b(correlation = corAR1(form = ~1 | Subject)), "gaps", "ar1(1 | Subject)", ft)
  record(k("cs_gaps"), b(correlation = corCompSymm(form = ~1 | Subject)), "gaps", "cs(0 + age | Subject)", ft)
  record(k("ar1_sex"), b(correlation = corAR1(form = ~occ | Subject), weights = varIdent(form = ~1 | Sex)), "gaps", "diag(0 + Sex | rows) * ar1(0 + occ | Subject)", ft)
  record(k("cs_sex"), b(correlation = corCompSymm(form = ~1 | Subject), weights = varIdent(form = ~1 | Sex)), "gaps", "diag(0 + Sex | rows) * cs(1 | Subject)", ft)
  record(k("ar1_het"), b(correlation = corAR1(form = ~occ | Subject), weights = varIdent(form = ~1 | occ)), "gaps", "ar1(0 + occ | Subject, hom=FALSE)", ft)
  record(k("cs_het"), b(correlation = corCompSymm(form = ~1 | Subject), weights = varIdent(form = ~1 | occ)), "gaps", "cs(0 + occ | Subject, hom=FALSE)", ft)
  record(k("ar1_weights"), b(correlation = corAR1(form = ~occ | Subject), weights = varFixed(~v)), "gaps", "ar1(0 + occ | Subject)", ft, weights = "1/v")
  record(k("cells"), b(weights = varIdent(form = ~1 | Sex * occ)), "gaps", "diag(0 + Sex:occ | rows)", ft)
  record(k("lme_ar1_sex"), lme(f, random = ~1 | Subject, data = g, method = m, control = lme_control,
         correlation = corAR1(form = ~occ | Subject), weights = varIdent(form = ~1 | Sex)),
         "gaps", "diag(0 + Sex | rows) * ar1(0 + occ | Subject)", paste(ft, "+ (1 | Subject)"))
  record(k("series_ar1"), lme(y ~ t + x, random = ~t | id, data = s, method = m, control = lme_control, correlation = corAR1(form = ~1 | id)),
         "series", "ar1(1 | id)", "y ~ t + x + (t | id)")
  record(k("series_kind"), lme(y ~ t + x, random = ~1 | id, data = s, method = m, control = lme_control,
         correlation = corAR1(form = ~t | id), weights = varIdent(form = ~1 | kind)),
         "series", "diag(0 + kind | rows) * ar1(0 + t | id)", "y ~ t + x + (1 | id)")
}
meta <- list(R = R.version.string, nlme = as.character(packageVersion("nlme")))
write_json(list(meta = meta, cases = results), "fits.json", digits = NA, auto_unbox = TRUE, null = "null", pretty = FALSE)
for (n in names(results)) cat(n, results[[n]]$logLik, results[[n]]$sigma, results[[n]]$cor, unlist(results[[n]]$var), "\n")
