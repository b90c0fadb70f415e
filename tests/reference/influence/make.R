# Influence by groups by lme4 (refits): Rscript make.R
library(lme4)
library(jsonlite)
d <- sleepstudy
fit <- lmer(Reaction ~ Days + (Days | Subject), d, control = lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12)))
inf <- influence(fit, "Subject")
out <- list(
  meta = list(R = R.version.string, lme4 = as.character(packageVersion("lme4"))),
  groups = rownames(dfbeta(inf)), dfbeta = unname(dfbeta(inf)), dfbetas = unname(dfbetas(inf)),
  cooks = unname(cooks.distance(inf)), var_cov_comps = unname(inf[["var.cov.comps[-Subject]"]])
)
write_json(out, "sleepstudy.json", digits = NA)
