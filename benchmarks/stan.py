"""The same model in Stan: `python -m benchmarks sampling --peer stan`.

pystan gets an environment of its own, with Python 3.12: under 3.13 its models do not load.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import xarray as xr

from bayesfactor.structures import units_of

__all__ = ["sample"]

RETURNS = """
data {
  int n; int t; int k; int g;
  matrix[t, n] r; matrix[t, k] f; array[n] int<lower=1, upper=g> group;
}
parameters {
  vector[n] alpha;
  vector[k] loadings_mean;
  vector<lower=0>[k] group_loadings_sd;
  matrix[g, k] group_loadings;
  vector<lower=0>[k] loadings_sd;
  matrix[n, k] loadings;
  real sigma_log_mean; real<lower=0> sigma_log_sd; vector<lower=0>[n] sigma;
  real nu_log_mean; real<lower=0> nu_log_sd; vector<lower=0>[n] nu_raw;
}
model {
  matrix[t, n] mu = f * loadings';
  alpha ~ normal(0, 1.9 / sqrt(365.0));
  loadings_mean ~ normal(0, 1);
  group_loadings_sd ~ lognormal(-1, 0.7);
  loadings_sd ~ lognormal(-1, 0.7);
  for (j in 1:k) {
    group_loadings[, j] ~ normal(loadings_mean[j], group_loadings_sd[j]);
    loadings[, j] ~ normal(group_loadings[group, j], loadings_sd[j]);
  }
  sigma_log_mean ~ normal(-0.7, 0.7);
  sigma_log_sd ~ lognormal(-1, 0.7);
  sigma ~ lognormal(sigma_log_mean, sigma_log_sd);
  nu_log_mean ~ normal(0.5, 0.7);
  nu_log_sd ~ lognormal(-1, 0.7);
  nu_raw ~ lognormal(nu_log_mean, nu_log_sd);
  for (i in 1:n) r[, i] ~ student_t(2 + nu_raw[i], alpha[i] + mu[, i], sigma[i]);
}
"""

FACTORS = """
data { int t; int k; array[t] vector[k] f; }
parameters {
  vector[k] factor_location;
  vector<lower=0>[k] factor_scale;
  cholesky_factor_corr[k] corr;
  real<lower=0> factor_nu_raw;
}
model {
  factor_location ~ normal(0, 3.8 / sqrt(365.0));
  factor_scale ~ lognormal(-0.5, 0.5);
  corr ~ lkj_corr_cholesky(2);
  factor_nu_raw ~ lognormal(0.7, 0.8);
  f ~ multi_student_t_cholesky(2 + factor_nu_raw, factor_location, diag_pre_multiply(factor_scale, corr));
}
"""

SCRIPT = """
import json, sys, time
import numpy as np
import stan
job = json.load(open(sys.argv[1]))
out = {}
for name in ("returns", "factors"):
    began = time.perf_counter()
    posterior = stan.build(job[name]["code"], data=job[name]["data"], random_seed=1)
    before, began = time.perf_counter() - began, time.perf_counter()
    sizes = {"num_chains": job["chains"], "num_samples": job["draws"], "num_warmup": job["tune"]}
    fit = posterior.sample(**sizes, delta=0.95)
    seconds = time.perf_counter() - began
    # (..., draw * chain), chains side by side within a draw
    found = {p: np.moveaxis(np.asarray(fit[p]), -1, 0) for p in fit.param_names}
    draws = {p: x.reshape(job["draws"], job["chains"], *x.shape[1:]) for p, x in found.items()}
    np.savez(f"{sys.argv[2]}/{name}.npz", **draws)
    out[name] = {"before": before, "seconds": seconds, "divergences": int(np.sum(fit["divergent__"]))}
json.dump(out, open(f"{sys.argv[2]}/out.json", "w"))
"""


def sample(panel: xr.Dataset, *, draws: int, tune: int, chains: int) -> tuple[float, float, xr.Dataset, int]:
    """Return seconds of sampling, of compiling, draws and divergences."""
    units = units_of(panel)
    returns = panel["returns"].transpose("time", "asset").values / units.returns
    factors = panel["factor_returns"].transpose("time", "factor").values / units.factors
    names, group = np.unique(panel["group"].values.astype(str), return_inverse=True)
    sizes = {"n": returns.shape[1], "t": returns.shape[0], "k": factors.shape[1], "g": len(names)}
    data = sizes | {"r": returns.tolist(), "f": factors.tolist(), "group": (group + 1).tolist()}
    law = {"t": sizes["t"], "k": sizes["k"], "f": factors.tolist()}
    job = {"draws": draws, "tune": tune, "chains": chains}
    job |= {"returns": {"code": RETURNS, "data": data}, "factors": {"code": FACTORS, "data": law}}
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        (where / "job.json").write_text(json.dumps(job))
        (where / "run.py").write_text(SCRIPT)
        command = [_uv(), "run", "--no-project", "--with", "pystan==3.14.0", "--python", "3.12", "python"]
        command = [*command, str(where / "run.py"), str(where / "job.json"), folder]
        subprocess.run(command, check=True, capture_output=True)
        out = json.loads((where / "out.json").read_text())
        parts = {}
        for name in ("returns", "factors"):
            with np.load(where / f"{name}.npz") as found:
                parts |= {k: found[k].swapaxes(0, 1) for k in found.files if k != "corr"}
    parts["nu"], parts["factor_nu"] = 2.0 + parts["nu_raw"], 2.0 + parts["factor_nu_raw"]
    posterior = xr.Dataset(
        {
            k: (("chain", "draw", *(f"{k}_{i}" for i in range(v.ndim - 2))), v)
            for k, v in ((k, v[..., 0] if v.shape[2:] == (1,) else v) for k, v in parts.items())
        }
    )
    total = {k: sum(o[k] for o in out.values()) for k in ("seconds", "before", "divergences")}
    return total["seconds"], total["before"], posterior, int(total["divergences"])


def _uv() -> str:
    found = shutil.which("uv")
    if found is None:
        msg = "the Stan peer gets an environment of its own from uv, which is not on the path."
        raise FileNotFoundError(msg)
    return found
