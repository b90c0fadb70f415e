# Rscript fit.R [case …]: MCMCglmm on data.csv; a json per case with means, sds, quantiles, effective sizes, DIC.
suppressMessages(library(MCMCglmm))
json <- function(x, pad = "") {
  if (is.list(x)) {
    inner <- paste0(pad, " ")
    cells <- vapply(x, json, "", pad = inner)
    if (is.null(names(x))) return(paste0("[", paste(cells, collapse = ", "), "]"))
    return(paste0("{\n", paste0(inner, '"', names(x), '": ', cells, collapse = ",\n"), "\n", pad, "}"))
  }
  cells <- if (is.character(x)) encodeString(x, quote = '"') else ifelse(is.na(x), "null", format(x, digits = 9, trim = TRUE))
  if (length(x) == 1) cells else paste0("[", paste(cells, collapse = ", "), "]")
}
data <- read.csv("data.csv", stringsAsFactors = TRUE)
ped <- read.csv("pedigree.csv", colClasses = "character")
ped[ped == "NA"] <- NA
Ainv <- inverseA(ped)$Ainv
I2 <- diag(2)
IG <- list(V = 1, nu = 0.002)
PX <- list(V = 1, nu = 1, alpha.mu = 0, alpha.V = 1000)
calls <- list(
  uni_ig = quote(MCMCglmm(y ~ sex + x, random = ~animal + nest, pedigree = ped, data = data,
    prior = list(R = IG, G = list(G1 = IG, G2 = IG)))),
  uni_px = quote(MCMCglmm(y ~ sex + x, random = ~animal + nest, pedigree = ped, data = data,
    prior = list(R = IG, G = list(G1 = PX, G2 = PX)))),
  default_residual = quote(MCMCglmm(y ~ sex * x, data = data)),
  ginverse = quote(MCMCglmm(y ~ sex, random = ~animal, ginverse = list(animal = Ainv), data = data,
    prior = list(R = list(V = 0.5, nu = 4), G = list(G1 = list(V = 0.5, nu = 4))))),
  slopes_us = quote(MCMCglmm(y ~ x, random = ~us(1 + x):nest, data = data,
    prior = list(R = IG, G = list(G1 = list(V = I2 * 0.2, nu = 3))))),
  slopes_us_px = quote(MCMCglmm(y ~ x, random = ~us(1 + x):nest, data = data,
    prior = list(R = IG, G = list(G1 = list(V = I2, nu = 2, alpha.mu = c(0, 0), alpha.V = I2 * 25))))),
  slopes_idh = quote(MCMCglmm(y ~ x, random = ~idh(1 + x):nest, data = data,
    prior = list(R = IG, G = list(G1 = list(V = I2 * 0.2, nu = 2))))),
  sexes = quote(MCMCglmm(y ~ sex + x - 1, random = ~idh(sex):nest + year, rcov = ~idh(sex):units, data = data,
    prior = list(R = list(V = I2, nu = 2), G = list(G1 = list(V = I2 * 0.3, nu = 2), G2 = PX)))),
  fixed_variance = quote(MCMCglmm(y ~ sex + x, random = ~animal + nest, pedigree = ped, data = data,
    prior = list(R = IG, G = list(G1 = list(V = 0.5, fix = 1), G2 = PX)))),
  fixed_residual = quote(MCMCglmm(y ~ sex + x, random = ~animal + nest, pedigree = ped, data = data,
    prior = list(R = list(V = 0.6, fix = 1), G = list(G1 = PX, G2 = PX)))),
  informative_fixed = quote(MCMCglmm(y ~ sex + x, random = ~nest + sex:year, data = data,
    prior = list(B = list(mu = c(1, 0, 0), V = diag(c(0.01, 0.05, 0.002))), R = IG, G = list(G1 = IG, G2 = PX)))),
  known_errors = quote(MCMCglmm(y ~ sex + x, random = ~nest, mev = data$known, data = data,
    prior = list(R = IG, G = list(G1 = PX)))),
  biv_us = quote(MCMCglmm(cbind(y2, z) ~ trait - 1 + trait:sex, random = ~us(trait):animal, rcov = ~us(trait):units,
    family = c("gaussian", "gaussian"), pedigree = ped, data = data,
    prior = list(R = list(V = I2, nu = 2), G = list(G1 = list(V = I2 / 2, nu = 2))))),
  biv_idh = quote(MCMCglmm(cbind(y2, z) ~ trait + trait:x - 1, random = ~idh(trait):animal + us(trait):nest,
    rcov = ~idh(trait):units, family = rep("gaussian", 2), pedigree = ped, data = data,
    prior = list(R = list(V = I2, nu = 2), G = list(G1 = list(V = I2 / 2, nu = 2),
      G2 = list(V = I2, nu = 2, alpha.mu = c(0, 0), alpha.V = I2 * 100))))),
  biv_mixed = quote(MCMCglmm(cbind(y2, z) ~ trait + at.level(trait, 1):x + sex,
    random = ~us(trait):nest + us(at.level(trait, 2)):year, rcov = ~us(trait):units,
    family = rep("gaussian", 2), data = data,
    prior = list(R = list(V = I2, nu = 2), G = list(G1 = list(V = I2 / 2, nu = 3), G2 = PX))))
)
wanted <- commandArgs(TRUE)
if (!length(wanted)) wanted <- names(calls)
for (name in wanted) {
  set.seed(1 + match(name, names(calls)))
  call <- calls[[name]]
  call$nitt <- 63000; call$burnin <- 3000; call$thin <- 20; call$verbose <- FALSE
  spent <- system.time(m <- eval(call))
  block <- function(x) {
    x <- as.matrix(x)
    ess <- effectiveSize(mcmc(x))
    list(names = as.list(colnames(x)), mean = as.list(unname(colMeans(x))), sd = as.list(unname(apply(x, 2, sd))), ess = as.list(unname(ess)),
         quantiles = lapply(seq_len(ncol(x)), function(j) unname(quantile(x[, j], c(.025, .25, .5, .75, .975)))))
  }
  out <- list(meta = list(packages = list(MCMCglmm = as.character(packageVersion("MCMCglmm")),
      coda = as.character(packageVersion("coda"))), R = R.version.string, call = paste(deparse(calls[[name]]), collapse = " ")),
    nitt = 63000, burnin = 3000, thin = 20, cpu = unname(spent[1] + spent[2]), VCV = block(m$VCV), Sol = block(m$Sol),
    DIC = m$DIC, deviance = list(mean = mean(m$Deviance), sd = sd(m$Deviance), ess = unname(effectiveSize(m$Deviance))))
  writeLines(json(out), paste0(name, ".json"))
  cat(name, out$cpu, colnames(m$VCV), "|", colnames(m$Sol), "\n")
}
