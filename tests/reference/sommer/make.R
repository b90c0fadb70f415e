# Fits several traits with sommer and writes the numbers beside this script.
#
#   Rscript tests/reference/sommer/make.R           (in the root of the repository)
#
# Data: tests/reference/gemma (simulated). K = SS'/m of markers standardised with the population sd.

suppressPackageStartupMessages({
  library(sommer)
  library(jsonlite)
})
d <- read.csv("tests/reference/gemma/data.csv")
W <- as.matrix(read.csv(gzfile("tests/reference/gemma/markers.csv.gz"), header = FALSE))
S <- scale(W) * sqrt(nrow(W) / (nrow(W) - 1))
K <- tcrossprod(S) / ncol(W)
rownames(K) <- colnames(K) <- d$id
d$site <- sprintf("s%02d", (seq_len(nrow(d)) * 7) %% 20)

write_fit <- function(name, fit, call) {
  v <- summary(fit)$varcomp
  b <- summary(fit)$betas
  got <- list(
    meta = list(sommer = as.character(packageVersion("sommer")), R = R.version.string, call = call),
    varcomp = data.frame(term = rownames(v), value = v$VarComp, se = v$VarCompSE),
    fixef = data.frame(trait = as.character(b$Trait), effect = as.character(b$Effect), value = b$Estimate, se = b$Std.Error)
  )
  write(toJSON(got, digits = NA, pretty = TRUE, auto_unbox = TRUE), file.path("tests/reference/sommer", paste0(name, ".json")))
}
options <- list(data = d, tolParConvLL = 1e-10, nIters = 60, verbose = FALSE, dateWarning = FALSE)
fit <- function(...) do.call(mmer, c(list(...), options))
write_fit("two_us", fit(cbind(y1, y2) ~ x, random = ~ vsr(id, Gu = K, Gtc = unsm(2)), rcov = ~ vsr(units, Gtc = unsm(2))),
  "mmer(cbind(y1, y2) ~ x, random = ~ vsr(id, Gu = K, Gtc = unsm(2)), rcov = ~ vsr(units, Gtc = unsm(2)))")
write_fit("two_diagonal", fit(cbind(y1, y2) ~ x, random = ~ vsr(id, Gu = K, Gtc = diag(2)), rcov = ~ vsr(units, Gtc = unsm(2))),
  "mmer(cbind(y1, y2) ~ x, random = ~ vsr(id, Gu = K, Gtc = diag(2)), rcov = ~ vsr(units, Gtc = unsm(2)))")
write_fit("two_terms", fit(cbind(y1, y2) ~ x, random = ~ vsr(id, Gu = K, Gtc = unsm(2)) + vsr(site, Gtc = diag(2)), rcov = ~ vsr(units, Gtc = unsm(2))),
  "mmer(cbind(y1, y2) ~ x, random = ~ vsr(id, Gu = K, Gtc = unsm(2)) + vsr(site, Gtc = diag(2)), rcov = ~ vsr(units, Gtc = unsm(2)))")
write_fit("three_us", fit(cbind(y1, y2, y3) ~ x, random = ~ vsr(id, Gu = K, Gtc = unsm(3)), rcov = ~ vsr(units, Gtc = unsm(3))),
  "mmer(cbind(y1, y2, y3) ~ x, random = ~ vsr(id, Gu = K, Gtc = unsm(3)), rcov = ~ vsr(units, Gtc = unsm(3)))")
