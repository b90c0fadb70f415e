# Runs the R half of every line of sessions.txt and stores what R printed, in outputs.json.
#   Rscript run.R            (needs lme4, lmerTest, pbkrtest, broom.mixed, nlme, jsonlite; width 80, 7 digits, R's defaults)
# Each session starts in an empty workspace; what is printed (messages and warnings left out) is kept line by line.
suppressMessages({library(lme4); library(jsonlite)})
# lme4's default stops early; with tighter bounds its numbers are those of the optimum to (nearly) all printed digits
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-12, maxfun = 1e5))
fitter <- function(fun) function(...) {
  call <- match.call(expand.dots = TRUE)
  call[[1]] <- fun
  call$control <- quote(tight)
  m <- eval(call, parent.frame())
  m@call$control <- NULL  # so that it is not printed
  m@call[[1]] <- quote(lmer)  # so that update() fits with it again
  m
}
lmer <- fitter(quote(lme4::lmer))
lmerTest_lmer <- fitter(quote(lmerTest::lmer))
options(width = 80, digits = 7, warn = -1, pillar.sigfig = 7)
text <- readLines("sessions.txt", encoding = "UTF-8")
out <- list(); session <- NULL; space <- NULL
for (line in text) {
  if (!nzchar(line)) next
  if (startsWith(line, "# ")) { session <- substring(line, 3); space <- new.env(parent = globalenv()); out[[session]] <- list(); next }
  code <- trimws(strsplit(line, "|||", fixed = TRUE)[[1]][1])
  got <- capture.output({
    run <- gsub("lmerTest::lmer(", "lmerTest_lmer(", code, fixed = TRUE)
    v <- withVisible(suppressMessages(suppressWarnings(eval(parse(text = run), space))))
    if (v$visible) suppressMessages(if (isS4(v$value)) methods::show(v$value) else print(v$value))
  })
  out[[session]][[length(out[[session]]) + 1]] <- list(r = code, out = I(as.character(got)))
}
versions <- sapply(c("lme4", "lmerTest", "pbkrtest", "broom.mixed", "nlme", "Matrix"), function(p) as.character(packageVersion(p)))
write(toJSON(list(R = R.version.string, packages = as.list(versions), sessions = out), auto_unbox = TRUE, pretty = 1), "outputs.json")
