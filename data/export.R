# Writes the data sets of this folder from the R packages that ship them, and checks what it wrote.
#
#   Rscript data/export.R            (in the root of the repository; overwrites data/*.csv* and data/levels.json)
#
# Needs R >= 4.2 with lme4, nlme, OpenMx, qtl and jsonlite (Debian: r-cran-lme4 r-cran-nlme r-cran-openmx r-cran-qtl
# r-cran-jsonlite).
# A csv cannot say that a column is a factor, nor in which order its levels stand: levels.json does, for every
# factor of every data set. Each file is read back and compared with the R object, to the last bit.

suppressPackageStartupMessages({
  library(lme4)
  library(nlme)
  library(jsonlite)
})
data(twinData, package = "OpenMx")
data(multitrait, package = "qtl")
line <- sprintf("RIL%03d", seq_len(qtl::nind(multitrait)))

out <- "data"
sets <- list(
  sleepstudy = list(lme4::sleepstudy, "csv"),
  dyestuff   = list(lme4::Dyestuff, "csv"),
  dyestuff2  = list(lme4::Dyestuff2, "csv"),
  penicillin = list(lme4::Penicillin, "csv"),
  pastes     = list(lme4::Pastes, "csv"),
  insteval   = list(lme4::InstEval, "csv.xz"),
  cbpp       = list(lme4::cbpp, "csv"),
  orthodont  = list(as.data.frame(nlme::Orthodont), "csv"),
  twins      = list(twinData, "csv.xz"),
  multitrait = list(data.frame(line = line, multitrait$pheno), "csv"),
  multitrait_markers = list(data.frame(line = line, as.data.frame(qtl::pull.geno(multitrait)), check.names = FALSE), "csv")
)

connection <- function(path, ending, mode) if (ending == "csv.xz") xzfile(path, mode, compression = 9) else file(path, mode)

restore <- function(frame, factors) {
  for (column in names(factors)) {
    f <- factors[[column]]
    frame[[column]] <- factor(frame[[column]], levels = f$levels, ordered = f$ordered)
  }
  frame
}

all_levels <- list()
for (name in names(sets)) {
  frame <- as.data.frame(sets[[name]][[1]])
  ending <- sets[[name]][[2]]
  attr(frame, "formula") <- NULL
  rownames(frame) <- NULL
  factors <- lapply(Filter(is.factor, frame), function(f) list(levels = levels(f), ordered = is.ordered(f)))
  path <- file.path(out, paste0(name, ".", ending))
  to <- connection(path, ending, "w")
  write.csv(frame, to, row.names = FALSE, quote = FALSE, na = "")
  close(to)

  classes <- vapply(frame, function(column) if (is.factor(column)) "character" else class(column)[1], "")
  back <- restore(read.csv(path, colClasses = classes, na.strings = "", check.names = FALSE), factors)
  for (column in names(frame)) {
    same <- identical(as.vector(frame[[column]]), as.vector(back[[column]])) &&
      identical(levels(frame[[column]]), levels(back[[column]]))
    if (!same) stop(path, ": column ", column, " does not read back as it was written")
  }
  all_levels[[name]] <- lapply(factors, function(f) list(ordered = unbox(f$ordered), levels = f$levels))
  cat(sprintf("%-18s %6d x %3d  %s\n", name, nrow(frame), ncol(frame), path))
}
lines <- vapply(names(all_levels), function(name) {
  columns <- all_levels[[name]]
  inner <- vapply(names(columns), function(column) sprintf('    "%s": %s', column, toJSON(columns[[column]])), "")
  sprintf('  "%s": {\n%s\n  }', name, paste(inner, collapse = ",\n"))
}, "")
writeLines(c("{", paste(lines, collapse = ",\n"), "}"), file.path(out, "levels.json"))
for (package in c("lme4", "nlme", "OpenMx", "qtl")) cat(package, as.character(packageVersion(package)), "\n")
