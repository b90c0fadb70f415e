# Fits twin models to OpenMx's twinData by maximum likelihood and writes the numbers beside this script.
#
#   Rscript tests/reference/openmx/make.R            (in the root of the repository)
#
# Response: bmi = 7 log(BMI). Fixed effects: intercept, age in years, woman (0/1), older cohort (0/1), the same for both twins.
# Random part per pair: A (MZ 1, DZ 1/2), C (1), D (MZ 1, DZ 1/4), E; parameters are paths (standard deviations).
# Pairs with one measured twin stay in; the two pairs of unknown age are left out.

suppressPackageStartupMessages({
  library(OpenMx)
  library(jsonlite)
})
mxOption(NULL, "Default optimizer", "SLSQP")
mxOption(NULL, "Number of Threads", 1)
mxOption(NULL, "Optimality tolerance", 1e-10)
data(twinData)

d <- twinData[!is.na(twinData$age), ]
d$woman1 <- as.numeric(d$zygosity %in% c("MZFF", "DZFF", "DZOS"))
d$woman2 <- as.numeric(d$zygosity %in% c("MZFF", "DZFF"))
d$older <- as.numeric(d$cohort == "older")
d$rA <- ifelse(d$zygosity %in% c("MZFF", "MZMM"), 1, 0.5)
d$rD <- ifelse(d$zygosity %in% c("MZFF", "MZMM"), 1, 0.25)
for (column in c("age", "woman1", "woman2", "older", "rA", "rD")) d[[column]] <- as.numeric(d[[column]])

path <- function(label, free) mxMatrix("Full", 1, 1, free = free, values = if (free) 0.6 else 0, labels = paste0("path_", label), name = label)
fit <- function(name, free) {
  model <- mxModel(
    name,
    mxMatrix("Full", 1, 4, free = TRUE, values = c(20, 0.03, -0.3, 0.1), labels = c("b0", "age", "woman", "older"), name = "B"),
    mxMatrix("Full", 4, 2, labels = c(NA, "data.age", "data.woman1", "data.older", NA, "data.age", "data.woman2", "data.older"),
             values = 1, free = FALSE, name = "x"),
    path("a", "A" %in% free), path("c", "C" %in% free), path("d", "D" %in% free), path("e", TRUE),
    mxMatrix("Full", 1, 1, labels = "data.rA", free = FALSE, name = "rA"),
    mxMatrix("Full", 1, 1, labels = "data.rD", free = FALSE, name = "rD"),
    mxAlgebra(a %*% a + c %*% c + d %*% d + e %*% e, name = "total"),
    mxAlgebra(rA %*% a %*% a + c %*% c + rD %*% d %*% d, name = "between"),
    mxAlgebra(rbind(cbind(total, between), cbind(between, total)), name = "V"),
    mxAlgebra(B %*% x, name = "M"),
    mxExpectationNormal("V", means = "M", dimnames = c("bmi1", "bmi2")),
    mxFitFunctionML(),
    mxData(d, "raw")
  )
  fitted <- mxTryHard(model, extraTries = 5, silent = TRUE, bestInitsOutput = FALSE)
  p <- omxGetParameters(fitted)
  variance <- setNames(lapply(c("a", "c", "d", "e"), function(k) if (paste0("path_", k) %in% names(p)) p[[paste0("path_", k)]]^2 else 0), c("A", "C", "D", "E"))
  list(
    meta = list(packages = list(OpenMx = as.character(packageVersion("OpenMx"))), R = R.version.string,
                call = paste("mxExpectationNormal, raw data, free:", paste(c(free, "E"), collapse = " "))),
    n_persons = sum(!is.na(d$bmi1)) + sum(!is.na(d$bmi2)),
    logLik = -0.5 * fitted$output$fit,
    fixef = as.list(p[c("b0", "age", "woman", "older")]),
    fixef_se = as.list(setNames(fitted$output$standardErrors[c("b0", "age", "woman", "older"), 1], c("b0", "age", "woman", "older"))),
    variance = variance,
    status = fitted$output$status$code
  )
}
for (name in c("ACE", "AE", "CE", "ADE", "E")) {
  got <- fit(name, setdiff(strsplit(name, "")[[1]], "E"))
  write(toJSON(got, auto_unbox = TRUE, digits = NA, pretty = TRUE), file.path("tests/reference/openmx/twins", paste0(tolower(name), ".json")))
  cat(sprintf("%-4s logLik %.6f  status %d  %s\n", name, got$logLik, got$status, paste(names(got$variance), round(unlist(got$variance), 5), collapse = " ")))
}
