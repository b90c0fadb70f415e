# Fits several responses of grouped data with nlme, glmmTMB and OpenMx, and writes data and numbers beside this script.
#
#   Rscript tests/reference/several_traits/make.R            (in the root of the repository)
#
# Stacked responses: `random = ~ trait - 1 | school` is an unstructured covariance among schools; `varIdent` with `corSymm` within a pupil is one among
# residuals; a pupil with one of the responses has one row.

suppressPackageStartupMessages({
  library(nlme)
  library(glmmTMB)
  library(OpenMx)
  library(jsonlite)
})
here <- "tests/reference/several_traits"
packages <- function(...) as.list(sapply(c(...), function(p) as.character(packageVersion(p))))
save_json <- function(name, got) {
  write(toJSON(got, digits = NA, pretty = TRUE, auto_unbox = TRUE, matrix = "rowmajor"), file.path(here, paste0(name, ".json")))
  cat(sprintf("%-20s logLik %.6f\n", name, got$logLik))
}
compressed <- function(data, name) write.csv(data, xzfile(file.path(here, paste0(name, ".csv.xz"))), row.names = FALSE, quote = FALSE)

# ---- nlme: written paper and coursework of 1905 pupils in 73 schools, 382 cells missing
data(Gcsemv, package = "mlmRev")
gcse <- data.frame(pupil = seq_len(nrow(Gcsemv)), school = Gcsemv$school, gender = Gcsemv$gender, written = Gcsemv$written, course = Gcsemv$course)
compressed(gcse, "gcse")
stack <- function(data, responses) {
  long <- do.call(rbind, lapply(seq_along(responses), function(a) cbind(data, tr = a, y = data[[responses[a]]])))
  long$trait <- factor(responses[long$tr], responses)
  long[order(long$pupil, long$tr), ][!is.na(long[order(long$pupil, long$tr), "y"]), ]
}
lme_numbers <- function(fit, responses, call) {
  t <- length(responses)
  sd <- fit$sigma * c(1, coef(fit$modelStruct$varStruct, unconstrained = FALSE))
  R <- corMatrix(fit$modelStruct$corStruct)
  whole <- R[[which(sapply(R, nrow) == t)[1]]]
  names(sd)[1] <- setdiff(responses, names(sd))
  sd <- sd[responses]
  list(
    meta = list(packages = packages("nlme"), R = R.version.string, call = call),
    logLik = as.numeric(logLik(fit)), G = as.matrix(unclass(getVarCov(fit)))[1:t, 1:t], R = diag(sd) %*% whole %*% diag(sd),
    fixef = as.list(fixef(fit)), se = as.list(sqrt(diag(vcov(fit)))), ranef = as.matrix(ranef(fit))[1:5, ], ranef_of = rownames(ranef(fit))[1:5]
  )
}
control <- lmeControl(msMaxIter = 1000, maxIter = 500, tolerance = 1e-10, msTol = 1e-12, returnObject = TRUE)
nlme_fit <- function(data, method, responses = c("written", "course"), fixed = y ~ trait + trait:gender - 1) {
  fit <- lme(fixed, data = stack(data, responses), random = ~ trait - 1 | school, method = method,
             weights = varIdent(form = ~ 1 | trait), correlation = corSymm(form = ~ tr | school/pupil), control = control)
  fit
}
call <- "lme(y ~ trait + trait:gender - 1, random = ~ trait - 1 | school, weights = varIdent(form = ~ 1 | trait), correlation = corSymm(form = ~ tr | school/pupil))"
for (method in c("REML", "ML")) {
  save_json(paste0("gcse_", tolower(method)), lme_numbers(nlme_fit(gcse, method), c("written", "course"), paste(method, call)))
}
complete <- gcse[!is.na(gcse$written) & !is.na(gcse$course), ]
save_json("gcse_complete_reml", lme_numbers(nlme_fit(complete, "REML"), c("written", "course"), paste("REML, pupils with both:", call)))

# ---- glmmTMB: four tests of 2287 pupils in 131 schools, a covariance of reduced rank among schools
data(bdf, package = "nlme")
bdf <- as.data.frame(bdf)
names4 <- c("iq_verbal", "iq_performance", "language", "arithmetic")
tests <- data.frame(pupil = seq_len(nrow(bdf)), school = as.character(bdf$schoolNR), sex = as.integer(as.character(bdf$sex)),
                    iq_verbal = bdf$IQ.verb, iq_performance = round(bdf$IQ.perf, 6), language = bdf$langPOST, arithmetic = bdf$aritPOST)
compressed(tests, "bdf")
long <- stack(tests, names4)
tmb <- function(bar, call) {
  fit <- glmmTMB(as.formula(paste("y ~ trait + trait:sex - 1 +", bar, "+ us(trait - 1 | pupil)")), data = long, dispformula = ~0, REML = FALSE,
                 control = glmmTMBControl(optCtrl = list(iter.max = 2000, eval.max = 3000, rel.tol = 1e-12)))
  G <- VarCorr(fit)$cond$school
  # dispformula = ~0 leaves a residual variance of sqrt(.Machine$double.eps) on every cell
  R <- VarCorr(fit)$cond$pupil
  list(meta = list(packages = packages("glmmTMB", "TMB"), R = R.version.string, call = call), logLik = as.numeric(logLik(fit)), G = matrix(G, 4), R = matrix(R, 4) + diag(sigma(fit)^2, 4),
       sigma2 = sigma(fit)^2, fixef = as.list(fixef(fit)$cond), se = as.list(sqrt(diag(vcov(fit)$cond))), convergence = fit$fit$convergence)
}
bdf_fit <- nlme_fit(tests, "ML", names4, y ~ trait + trait:sex - 1)
save_json("bdf_us", lme_numbers(bdf_fit, names4, paste("ML", gsub("gender", "sex", call))))
for (bar in c("rr(trait - 1 | school, d = 1)", "rr(trait - 1 | school, d = 2)", "diag(trait - 1 | school)")) {
  name <- paste0("bdf_", switch(bar, "rr(trait - 1 | school, d = 1)" = "rr1", "rr(trait - 1 | school, d = 2)" = "rr2", "diag"))
  save_json(name, tmb(bar, paste0("glmmTMB(y ~ trait + trait:sex - 1 + ", bar, " + us(trait - 1 | pupil), dispformula = ~0)")))
}

# ---- OpenMx: height and weight of twins, A, C, E as unstructured 2 x 2 covariances
mxOption(NULL, "Default optimizer", "SLSQP")
mxOption(NULL, "Number of Threads", 1)
mxOption(NULL, "Optimality tolerance", 1e-10)
data(twinData)
d <- twinData[!is.na(twinData$age), ]
d$woman1 <- as.numeric(d$zygosity %in% c("MZFF", "DZFF", "DZOS"))
d$woman2 <- as.numeric(d$zygosity %in% c("MZFF", "DZFF"))
d$rA <- ifelse(d$zygosity %in% c("MZFF", "MZMM"), 1, 0.5)
for (k in 1:2) d[[paste0("height", k)]] <- 100 * d[[paste0("ht", k)]]
for (k in 1:2) d[[paste0("weight", k)]] <- d[[paste0("wt", k)]]
for (column in c("age", "woman1", "woman2", "rA", "weight1", "weight2")) d[[column]] <- as.numeric(d[[column]])
lower <- function(name, start, free = TRUE) mxMatrix("Lower", 2, 2, free = free, values = if (free) start else 0, labels = paste0(name, c(11, 21, 22)), name = name)
twin <- function(C) {
  model <- mxModel("two",
    mxMatrix("Full", 2, 3, free = TRUE, values = c(178, 75, 0, 0, -13, -14), labels = c("h0", "w0", "hage", "wage", "hwoman", "wwoman"), name = "B"),
    mxMatrix("Full", 3, 1, labels = c(NA, "data.age", "data.woman1"), values = 1, name = "x1"),
    mxMatrix("Full", 3, 1, labels = c(NA, "data.age", "data.woman2"), values = 1, name = "x2"),
    lower("a", c(5, 3, 6)), lower("c", c(1, 0.5, 1), C), lower("e", c(3, 1, 5)),
    mxMatrix("Full", 1, 1, labels = "data.rA", name = "rA"),
    mxAlgebra(a %*% t(a), name = "A"), mxAlgebra(c %*% t(c), name = "C"), mxAlgebra(e %*% t(e), name = "E"),
    mxAlgebra(rbind(cbind(A + C + E, rA %x% A + C), cbind(rA %x% A + C, A + C + E)), name = "V"),
    mxAlgebra(cbind(t(B %*% x1), t(B %*% x2)), name = "M"),
    mxExpectationNormal("V", means = "M", dimnames = c("height1", "weight1", "height2", "weight2")),
    mxFitFunctionML(), mxData(d, "raw"))
  fitted <- mxTryHard(model, extraTries = 5, silent = TRUE, bestInitsOutput = FALSE)
  p <- as.list(omxGetParameters(fitted))
  list(meta = list(packages = packages("OpenMx"), R = R.version.string, call = paste0("mxExpectationNormal, raw data, Cholesky A", if (C) ", C", ", E; height in cm, weight in kg")),
       logLik = -0.5 * fitted$output$fit, A = mxEval(A, fitted), C = mxEval(C, fitted), E = mxEval(E, fitted),
       fixef = p[c("h0", "w0", "hage", "wage", "hwoman", "wwoman")], cells = sum(!is.na(d[c("height1", "height2", "weight1", "weight2")])), status = fitted$output$status$code)
}
save_json("twins_ace", twin(TRUE))
save_json("twins_ae", twin(FALSE))
