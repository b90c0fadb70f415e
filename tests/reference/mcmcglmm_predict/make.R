# Numbers in numbers.json: predictions, imputed responses and DIC of MCMCglmm on simulated data (data.csv).
# Rscript make.R; about two minutes. Needs MCMCglmm and jsonlite.
library(MCMCglmm)
set.seed(20)
q <- 12; n <- 60
g <- factor(rep(sprintf("g%02d", 1:q), each = n / q))
x <- round(rnorm(n), 3)
U <- matrix(rnorm(2 * q), q) %*% chol(matrix(c(1, .5, .5, .8), 2))
E <- matrix(rnorm(2 * n), n) %*% chol(matrix(c(1, .4, .4, .7), 2))
Y <- round(cbind(1 + .5 * x, -1 + .2 * x) + U[g, ] + E, 3)
d <- data.frame(y1 = Y[, 1], y2 = Y[, 2], x = x, g = g)
d$y1[c(3, 30)] <- NA
d$y2[c(11, 41)] <- NA
write.csv(d, "data.csv", row.names = FALSE)
se <- function(v) as.numeric(sd(v) / sqrt(effectiveSize(mcmc(v))))
of <- function(v) list(mean = mean(v), sd = sd(v), se = se(v), ess = as.numeric(effectiveSize(mcmc(v))))
out <- list(packages = list(MCMCglmm = as.character(packageVersion("MCMCglmm"))), R = R.version.string)

# one response, one missing value
set.seed(1)
p1 <- list(R = list(V = 1, nu = 3), G = list(G1 = list(V = 1, nu = 3)))
one <- d[, c("y2", "x", "g")]; one$y2[11] <- NA
m <- MCMCglmm(y2 ~ x, random = ~g, data = one, prior = p1, pr = TRUE, pl = TRUE,
              nitt = 205000, burnin = 5000, thin = 20, verbose = FALSE)
latent <- m$Liab[, which(is.na(one$y2))]
new <- data.frame(y2 = 0, x = c(-1, 0.5, 2), g = factor(c("g01", "g05", "g12"), levels = levels(g)))
X <- cbind(1, new$x)
f <- m$Sol[, 1:2] %*% t(X) + m$Sol[, paste0("g.", new$g)]
conf <- predict(m, newdata = new, marginal = NULL, interval = "confidence")
set.seed(2)
pred <- predict(m, newdata = new, marginal = NULL, interval = "prediction")
out$one <- list(
  rows = which(is.na(one$y2)) - 1, latent = lapply(1:ncol(latent), function(j) of(latent[, j])),
  new = new[, c("x", "g")], expectation = lapply(1:3, function(j) of(f[, j])),
  confidence = unname(conf), prediction = unname(pred),
  VCV = lapply(colnames(m$VCV), function(v) of(m$VCV[, v])), DIC = m$DIC, Deviance = of(m$Deviance))

# two responses, missing cells
set.seed(3)
p2 <- list(R = list(V = diag(2), nu = 4), G = list(G1 = list(V = diag(2), nu = 4)))
m2 <- MCMCglmm(cbind(y1, y2) ~ trait + trait:x - 1, random = ~us(trait):g, rcov = ~us(trait):units,
               family = rep("gaussian", 2), data = d, prior = p2, pl = TRUE,
               nitt = 205000, burnin = 5000, thin = 20, verbose = FALSE)
hole <- c(which(is.na(d$y1)), n + which(is.na(d$y2)))
out$two <- list(
  record = c(which(is.na(d$y1)), which(is.na(d$y2))) - 1, trait = c("y1", "y1", "y2", "y2"),
  latent = lapply(hole, function(j) of(m2$Liab[, j])),
  VCV = lapply(colnames(m2$VCV), function(v) of(m2$VCV[, v])), DIC = m2$DIC, Deviance = of(m2$Deviance))
writeLines(jsonlite::toJSON(out, digits = 10, auto_unbox = TRUE, pretty = TRUE), "numbers.json")
