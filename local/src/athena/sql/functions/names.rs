//! Which names are functions, of which kind, and how many arguments they take.

use super::table::table;

const SCALARS_BY_FORM: &[&str] = &[
    "if",
    "concat",
    "greatest",
    "least",
    "date",
    "mod",
    "pow",
    "ceiling",
    "substring",
    "dow",
    "doy",
    "yow",
    "week_of_year",
    "day_of_month",
    "now",
    "coalesce",
    "nullif",
    "current_timestamp",
    "current_date",
    "localtimestamp",
];

const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "bool_and",
    "bool_or",
    "every",
    "count_if",
    "arbitrary",
    "any_value",
    "max_by",
    "min_by",
    "approx_distinct",
    "approx_percentile",
    "stddev",
    "stddev_samp",
    "stddev_pop",
    "variance",
    "var_samp",
    "var_pop",
    "corr",
    "covar_pop",
    "covar_samp",
    "regr_slope",
    "regr_intercept",
    "array_agg",
];

const WINDOWS: &[&str] = &[
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// Whether Athena's aggregate of this name is supported.
pub(in super::super) fn is_aggregate(name: &str) -> bool {
    AGGREGATES.contains(&name)
}

/// Whether Athena's window function of this name is supported.
pub(in super::super) fn is_window(name: &str) -> bool {
    WINDOWS.contains(&name)
}

/// Whether Athena's scalar function of this name is supported.
pub(in super::super) fn is_scalar(name: &str) -> bool {
    !name.starts_with('$')
        && (SCALARS_BY_FORM.contains(&name) || table().iter().any(|(n, _)| *n == name))
}

/// Whether a function takes so many arguments; otherwise how many it takes.
pub(in super::super) fn arity(name: &str, count: usize) -> Result<(), String> {
    let range = match name {
        "if" => 2..=3,
        "concat" | "greatest" | "least" | "coalesce" => 1..=100,
        "date" | "sum" | "avg" | "min" | "max" | "count_if" | "arbitrary" | "any_value"
        | "bool_and" | "bool_or" | "every" | "stddev" | "stddev_samp" | "stddev_pop"
        | "variance" | "var_samp" | "var_pop" | "array_agg" => 1..=1,
        "mod" | "pow" | "nullif" | "max_by" | "min_by" | "approx_percentile" | "corr"
        | "covar_pop" | "covar_samp" | "regr_slope" | "regr_intercept" => 2..=2,
        "count" => 0..=1,
        "approx_distinct" => 1..=1,
        "now" | "current_timestamp" | "current_date" | "localtimestamp" => 0..=0,
        _ => return Ok(()),
    };
    if range.contains(&count) {
        Ok(())
    } else if range.start() == range.end() {
        Err(range.start().to_string())
    } else {
        Err(format!("{} to {}", range.start(), range.end()))
    }
}
