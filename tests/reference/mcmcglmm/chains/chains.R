# Rscript chains.R: short chains of MCMCglmm, what coda and MCMCglmm say of them, and summary() as it prints.
suppressMessages({library(MCMCglmm); library(jsonlite)})
data <- read.csv("../simulated/data.csv", stringsAsFactors = TRUE)
ped <- read.csv("../simulated/pedigree.csv", colClasses = "character")
ped[ped == "NA"] <- NA
I2 <- diag(2)
IG <- list(V = 1, nu = 0.002)
calls <- list(
  uni = quote(MCMCglmm(y ~ sex + x, random = ~animal + nest, pedigree = ped, data = data, nitt = 5000, burnin = 1000,
    thin = 10, verbose = FALSE, prior = list(R = IG, G = list(G1 = IG, G2 = IG)))),
  long = quote(MCMCglmm(y ~ sex, random = ~nest, data = data, nitt = 3000, burnin = 1000,
    thin = 1, verbose = FALSE, prior = list(R = IG, G = list(G1 = IG)))),
  mixed = quote(MCMCglmm(y ~ 1, random = ~idh(sex):nest + us(1 + x):year, rcov = ~idh(sex):units, data = data,
    nitt = 3000, burnin = 1000, thin = 5, verbose = FALSE,
    prior = list(R = list(V = I2, nu = 2), G = list(G1 = list(V = I2, nu = 2), G2 = list(V = I2, nu = 2))))),
  biv = quote(MCMCglmm(cbind(y2, z) ~ trait - 1 + trait:sex, random = ~us(trait):animal, rcov = ~us(trait):units,
    family = c("gaussian", "gaussian"), pedigree = ped, data = data, nitt = 3000, burnin = 1000, thin = 10,
    verbose = FALSE, prior = list(R = list(V = I2, nu = 2), G = list(G1 = list(V = I2 / 2, nu = 2))))),
  alone = quote(MCMCglmm(y ~ 1, data = data, nitt = 2000, burnin = 1000, thin = 5, verbose = FALSE))
)
rows <- function(x) lapply(seq_len(nrow(x)), function(i) as.list(unname(x[i, ])))
said <- function(x) capture.output(x)
for (name in names(calls)) {
  set.seed(10 + match(name, names(calls)))
  m <- eval(calls[[name]])
  write.csv(format(data.frame(as.matrix(m$VCV), check.names = FALSE), digits = 15), gzfile(paste0(name, "_VCV.csv.gz")), row.names = FALSE, quote = TRUE)
  write.csv(format(data.frame(as.matrix(m$Sol), check.names = FALSE), digits = 15), gzfile(paste0(name, "_Sol.csv.gz")), row.names = FALSE, quote = TRUE)
  write.csv(format(data.frame(Deviance = as.vector(m$Deviance)), digits = 15), gzfile(paste0(name, "_Deviance.csv.gz")), row.names = FALSE)
  V <- m$VCV
  raftery <- raftery.diag(V, q = 0.5, r = 0.05)
  out <- list(
    meta = list(packages = list(MCMCglmm = as.character(packageVersion("MCMCglmm")), coda = as.character(packageVersion("coda"))),
      R = R.version.string, call = paste(deparse(calls[[name]]), collapse = " ")),
    mcpar = attr(V, "mcpar"), DIC = m$DIC,
    posterior.mode = as.list(unname(posterior.mode(V))), HPDinterval = rows(HPDinterval(V)), HPDinterval50 = rows(HPDinterval(V, prob = 0.5)),
    effectiveSize = as.list(unname(effectiveSize(V))), geweke = as.list(unname(geweke.diag(V)$z)),
    heidel = rows(unclass(heidel.diag(V))), raftery = if (is.matrix(raftery$resmatrix)) rows(raftery$resmatrix) else as.list(raftery$resmatrix), autocorr.diag = rows(autocorr.diag(V)),
    autocorr = autocorr(V),
    spectrum0 = as.list(unname(spectrum0.ar(V)$spec)), batchSE = as.list(unname(batchSE(V))),
    print = list(summary = said(print(summary(m))), HPDinterval = said(print(HPDinterval(V))), posterior.mode = said(print(posterior.mode(V))),
      effectiveSize = said(print(effectiveSize(V))), geweke = said(print(geweke.diag(V))), heidel = said(print(heidel.diag(V))),
      raftery = said(print(raftery)), autocorr = said(print(autocorr(V))), autocorr.diag = said(print(autocorr.diag(V))),
      summary.VCV = said(print(summary(V)))))
  writeLines(toJSON(out, auto_unbox = TRUE, digits = NA, pretty = 1, na = "null"), paste0(name, ".json"))
  if (name %in% c("uni", "biv", "mixed", "alone")) cat(paste(out$print$summary, collapse = "\n"), "\n", paste(out$print$heidel, collapse="\n"), paste(out$print$raftery, collapse="\n"), paste(out$print$geweke, collapse="\n"),paste(out$print$HPDinterval, collapse="\n"), paste(out$print$summary.VCV, collapse="\n"))
}
