# Values of arithmetic as R reads it (precedence, sign of %%), written to arithmetic.json.
# Run: Rscript make_arithmetic.R   (R with the package jsonlite)
expressions <- c(
  "-x^2", "(-x)^2", "x^-1", "2^z^2", "(2^z)^2", "-z^2 %% y", "-x %% y", "x %% -y", "x * y %% 4", "x %% y * z", "x / y %% 2 * z",
  "x %% y %% 2", "(x * y) %% z", "-x * y", "- - x", "x - y - z", "x - (y - z)", "x / y / z", "x / (y / z)", "x / y * z",
  "x * -y", "+x - -y", "2 * 3^2 * x", "10 %% 4 * x", "x + 7 %% 4 / 2", "1e-3 * x + .5", "x < y", "x + 1 > y - 4",
  "(x < y) == (y > z)", "x * y != 3", "log(abs(x)) * 2^0.5", "log(y, 2)", "log(y, base = 10)", "exp(-y)^2", "sqrt(y)^-2",
  "log1p(z) + expm1(z)", "log2(y) - log10(y)", "2L * x", "-2^2 + x", "-1 %% 3 + x", "5 %% -3 * z"
)
at <- list(x = -2.5, y = 3, z = 0.7)
values <- vapply(expressions, function(e) as.numeric(eval(parse(text = e), at)), 0)
out <- list(
  made_with = R.version.string, at = at,
  expressions = lapply(seq_along(values), function(i) list(text = expressions[[i]], value = values[[i]]))
)
writeLines(jsonlite::toJSON(out, auto_unbox = TRUE, pretty = TRUE, digits = NA), "arithmetic.json")
