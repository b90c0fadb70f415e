# Yates' split-plot of oats: the strata of the analysis of variance, and where lmer stops.
#
#   Rscript tests/reference/lme4/make_oats.R        (in the root of the repository; needs nlme, lme4, jsonlite)
suppressPackageStartupMessages({
  library(nlme)
  library(lme4)
  library(jsonlite)
})
d <- data.frame(block = as.character(Oats$Block), variety = as.character(Oats$Variety),
                nitrogen = sprintf("%.1f", Oats$nitro), yield = Oats$yield)
f <- d
for (name in c("block", "variety", "nitrogen")) f[[name]] <- factor(f[[name]])
strata <- summary(aov(yield ~ nitrogen * variety + Error(block / variety), f))
rows <- list()
for (name in names(strata)) {
  s <- strata[[name]][[1]]
  for (i in seq_len(nrow(s))) {
    rows[[length(rows) + 1]] <- list(stratum = sub("^Error: ", "", name), term = trimws(rownames(s)[i]), df = s$Df[i],
                                     sum_sq = s$`Sum Sq`[i], mean_sq = s$`Mean Sq`[i],
                                     F = if (is.null(s$`F value`)) NA else s$`F value`[i])
  }
}
fit <- lmer(yield ~ nitrogen * variety + (1 | block / variety), f)
vc <- as.data.frame(VarCorr(fit))
out <- list(packages = list(R = "4.2.2", lme4 = as.character(packageVersion("lme4")), nlme = as.character(packageVersion("nlme"))),
            data = d, aov = rows, lmer = list(logLik = as.numeric(logLik(fit)), varcorr = setNames(as.list(vc$vcov), vc$grp)))
write_json(out, "tests/reference/lme4/oats/split_plot.json", digits = NA, auto_unbox = TRUE, dataframe = "columns", na = "null")
