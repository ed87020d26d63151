# The R package factorstochvol on the panel of `python -m benchmarks latent`, to be run by hand:
#
#   python -m benchmarks latent --write-csv returns.csv
#   Rscript benchmarks/latent_factorstochvol.R returns.csv 2 4000 1000
#
# that is: returns, factors, draws, burn-in. Needs install.packages(c("factorstochvol", "coda")).
#
# Another model than latent-t: normal given volatilities, each of which (of factors and of specific returns)
# moves in time; that is what the package is for, so it stays on. Draws come from one Gibbs chain. The loadings
# are held lower triangular, which leaves their signs alone free, and the package settles those afterwards; so
# they compare with `loadings_per_s`, which is of aligned loadings.

arguments <- commandArgs(trailingOnly = TRUE)
if (length(arguments) < 1) stop("Give the file written by `python -m benchmarks latent --write-csv`.")
sizes <- c(2L, 4000L, 1000L)
given <- as.integer(arguments[-1])
sizes[seq_along(given)] <- given

returns <- as.matrix(read.csv(arguments[1], check.names = FALSE))
returns <- 100 * scale(returns, center = TRUE, scale = FALSE)

set.seed(1)
seconds <- system.time(
  found <- factorstochvol::fsvsample(
    returns,
    factors = sizes[1], draws = sizes[2], burnin = sizes[3],
    restrict = "upper", heteroskedastic = TRUE, quiet = TRUE
  )
)[["elapsed"]]

# (asset, factor, draw); what is held at zero does not move and has no effective draws.
loadings <- found$facload
draws <- t(matrix(loadings, ncol = dim(loadings)[3]))
draws <- draws[, apply(draws, 2, sd) > 0, drop = FALSE]
ess <- coda::effectiveSize(coda::mcmc(draws))
least <- which.min(ess)

cat(sprintf("%d days, %d assets, %d factors, %d draws after %d\n",
            nrow(returns), ncol(returns), sizes[1], sizes[2], sizes[3]))
cat(sprintf("seconds %.1f, smallest ESS of loadings %.0f, ESS per second %.2f (median %.2f)\n",
            seconds, ess[least], ess[least] / seconds, median(ess) / seconds))
