# Term expansion of R's terms.formula for the formulas below, written to terms.json.
# Run: Rscript make_terms.R   (R with the package jsonlite)
formulas <- c(
  "y ~ 1", "y ~ 0", "y ~ x", "y ~ x - 1", "y ~ x + 0", "y ~ -1 + x", "y ~ 0 + x + 1", "y ~ x - 0",
  "y ~ a + b + a", "y ~ a:b + a", "y ~ b:a + a + b", "y ~ a + b:a", "y ~ a*b", "y ~ a*b*c", "y ~ b*a - a",
  "y ~ (a + b + c)^2", "y ~ (a + b + c)^3 - a:b", "y ~ ((a + b)^2)^2", "y ~ a^2", "y ~ a/b", "y ~ a/b/c", "y ~ (a + b)/c",
  "y ~ a/(b + c)", "y ~ a/(b*c)", "y ~ a*b/c", "y ~ a + b:c + a:b + d", "y ~ (a + b):(c + d)", "y ~ (a*b):(a + c)",
  "y ~ a:a + b:a:b", "y ~ a*(b + c) - b", "y ~ (1 + a)*b", "y ~ (0 + a):b", "y ~ a - (1 + a)", "y ~ -(-1) + a",
  "y ~ - a", "y ~ a + (b - a)", "y ~ a + b - a", "y ~ (a - 1)*(b + c) - a:c", "y ~ log(x)*f + I(x^2):f",
  "y ~ c:b:a + a:b + b", "y ~ (a + b + c + d)^2 - (a + b)^2", "y ~ a*b + c %in% a", "y ~ (a + b) %in% c",
  "y ~ a %in% b + c", "y ~ a:b*c", "y ~ a*b:c", "y ~ -a:b + c + b:a", "y ~ (a/b)^2", "y ~ poly(x, 2) + x:poly(x, 2)"
)
dots <- c("y ~ .", "y ~ .^2", "y ~ . - b", "y ~ c + .", "y ~ .:c", "log(y) ~ a*.", "y ~ a/. - 1")
frame <- data.frame(y = 1:3, a = 1:3, b = 1:3, c = 1:3)

# The rows of `factors` that a term uses: its label is ambiguous for %in%, its incidence is not.
one <- function(text, data = NULL) {
  t <- terms(as.formula(text), data = data)
  incidence <- attr(t, "factors")
  used <- if (length(incidence)) apply(incidence > 0, 2, function(u) as.list(rownames(incidence)[u]), simplify = FALSE) else list()
  list(formula = text, intercept = attr(t, "intercept"), terms = unname(used), labels = as.list(attr(t, "term.labels")))
}

out <- list(
  made_with = R.version.string,
  columns = as.list(names(frame)),
  plain = lapply(formulas, one),
  dots = lapply(dots, one, data = frame)
)
writeLines(jsonlite::toJSON(out, auto_unbox = TRUE, pretty = TRUE), "terms.json")
