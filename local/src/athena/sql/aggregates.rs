//! `sum` and `avg` with Trino's types and checks: a sum of bigints is a
//! bigint or an error, a sum of decimals a decimal(38,s), and the average of
//! a decimal(p,s) a decimal(p,s), rounded half up.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Decimal256Array, Float32Array,
    Float64Array, Int64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Field, FieldRef, Float64Type, Int64Type, i256,
};
use datafusion::common::ScalarValue;
use datafusion::error::Result as DfResult;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility,
};

use super::super::fault::Fault;
use super::super::types::trino_name;
use super::arithmetic::{fit, round_half_up};

/// DataFusion's aggregates that mean the same as Trino's.
pub(super) const KEPT: &[&str] = &[
    "count",
    "min",
    "max",
    "bool_and",
    "bool_or",
    "first_value",
    "last_value",
    "nth_value",
    "approx_distinct",
    "approx_percentile_cont",
    "stddev",
    "stddev_pop",
    "var",
    "var_pop",
    "corr",
    "covar_samp",
    "covar_pop",
    "regr_slope",
    "regr_intercept",
    "array_agg",
    "grouping",
];

/// `sum` and `avg`.
pub(super) fn all() -> Vec<Arc<AggregateUDF>> {
    [Kind::Sum, Kind::Average]
        .into_iter()
        .map(|kind| {
            Arc::new(AggregateUDF::from(Total {
                kind,
                signature: Signature::user_defined(Volatility::Immutable),
            }))
        })
        .collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Sum,
    Average,
}

/// A total of numbers, and what is made of it at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Total {
    kind: Kind,
    signature: Signature,
}

/// Digits of the exact running total: it cannot overflow.
const TOTAL_DIGITS: u8 = 76;

/// How totals of a type are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeping {
    /// In 256 bits, at this scale.
    Exact(i8),
    /// As doubles.
    Float,
}

impl Keeping {
    fn of(input: &DataType) -> Self {
        match input {
            DataType::Decimal128(_, s) => Self::Exact(*s),
            DataType::Float32 | DataType::Float64 => Self::Float,
            _ => Self::Exact(0),
        }
    }

    fn state_type(self) -> DataType {
        match self {
            Self::Exact(s) => DataType::Decimal256(TOTAL_DIGITS, s),
            Self::Float => DataType::Float64,
        }
    }
}

impl AggregateUDFImpl for Total {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Sum => "sum",
            Kind::Average => "avg",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, args: &[DataType]) -> DfResult<Vec<DataType>> {
        let to = match args {
            [DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64] => {
                // Trino averages whole numbers as doubles.
                if self.kind == Kind::Average {
                    DataType::Float64
                } else {
                    DataType::Int64
                }
            }
            [DataType::Null] => DataType::Int64,
            [same @ (DataType::Float32 | DataType::Float64 | DataType::Decimal128(..))] => {
                same.clone()
            }
            other => {
                let given: Vec<String> = other.iter().map(trino_name).collect();
                return Err(Fault::user(
                    "FUNCTION_NOT_FOUND",
                    format!(
                        "Unexpected parameters ({}) for function {name}. Expected: {name}(bigint), {name}(decimal(p,s)), {name}(double), {name}(real)",
                        given.join(", "),
                        name = self.name()
                    ),
                )
                .through_planning());
            }
        };
        Ok(vec![to])
    }

    fn return_type(&self, args: &[DataType]) -> DfResult<DataType> {
        Ok(match (self.kind, &args[0]) {
            (Kind::Sum, DataType::Decimal128(_, s)) => DataType::Decimal128(38, *s),
            (_, same) => same.clone(),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> DfResult<Vec<FieldRef>> {
        let keeping = Keeping::of(args.input_fields[0].data_type());
        Ok(vec![
            Arc::new(Field::new(
                format!("{}[total]", args.name),
                keeping.state_type(),
                true,
            )),
            Arc::new(Field::new(
                format!("{}[count]", args.name),
                DataType::Int64,
                true,
            )),
        ])
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> DfResult<Box<dyn Accumulator>> {
        if args.is_distinct {
            return Err(Fault::unsupported(format!(
                "{}(DISTINCT …) beside other aggregates",
                self.name()
            ))
            .into());
        }
        Ok(Box::new(Single(self.totals(&args))))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        !args.is_distinct
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> DfResult<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(self.totals(&args)))
    }
}

impl Total {
    fn totals(&self, args: &AccumulatorArgs<'_>) -> Totals {
        let input = args.expr_fields[0].data_type();
        Totals {
            kind: self.kind,
            keeping: Keeping::of(input),
            returns: args.return_field.data_type().clone(),
            exact: Vec::new(),
            float: Vec::new(),
            counts: Vec::new(),
        }
    }
}

/// Running totals by group.
#[derive(Debug)]
struct Totals {
    kind: Kind,
    keeping: Keeping,
    returns: DataType,
    exact: Vec<i256>,
    float: Vec<f64>,
    counts: Vec<i64>,
}

impl Totals {
    fn grow(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
        match self.keeping {
            Keeping::Exact(_) => self.exact.resize(groups, i256::ZERO),
            Keeping::Float => self.float.resize(groups, 0.0),
        }
    }

    fn add(
        &mut self,
        values: &ArrayRef,
        group_of: impl Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) -> DfResult<()> {
        let counted = |row: usize| {
            values.is_valid(row) && filter.is_none_or(|f| f.is_valid(row) && f.value(row))
        };
        macro_rules! each {
            ($array:expr, $totals:expr, $add:expr) => {{
                let array = $array;
                for row in 0..array.len() {
                    if counted(row) {
                        let group = group_of(row);
                        let total = &mut $totals[group];
                        *total = $add(*total, array.value(row));
                        self.counts[group] += 1;
                    }
                }
            }};
        }
        match values.data_type() {
            DataType::Decimal128(..) => {
                each!(
                    values.as_primitive::<Decimal128Type>(),
                    self.exact,
                    |t: i256, v: i128| t.wrapping_add(i256::from_i128(v))
                );
            }
            DataType::Int64 => {
                each!(
                    values.as_primitive::<Int64Type>(),
                    self.exact,
                    |t: i256, v: i64| t.wrapping_add(i256::from_i128(i128::from(v)))
                );
            }
            DataType::Float64 => {
                each!(
                    values.as_primitive::<Float64Type>(),
                    self.float,
                    |t: f64, v: f64| t + v
                );
            }
            _ => {
                let wide = cast(values, &DataType::Float64)?;
                each!(
                    wide.as_primitive::<Float64Type>(),
                    self.float,
                    |t: f64, v: f64| t + v
                );
            }
        }
        Ok(())
    }

    fn merge(&mut self, states: &[ArrayRef], group_of: impl Fn(usize) -> usize) {
        let counts = states[1].as_primitive::<Int64Type>();
        for row in 0..counts.len() {
            let group = group_of(row);
            self.counts[group] += counts.value(row);
            match self.keeping {
                Keeping::Exact(_) => {
                    let totals = states[0].as_primitive::<Decimal256Type>();
                    self.exact[group] = self.exact[group].wrapping_add(totals.value(row));
                }
                Keeping::Float => {
                    let totals = states[0].as_primitive::<Float64Type>();
                    self.float[group] += totals.value(row);
                }
            }
        }
    }

    fn take(&mut self, emit_to: EmitTo) -> (Vec<i256>, Vec<f64>, Vec<i64>) {
        (
            match self.keeping {
                Keeping::Exact(_) => emit_to.take_needed(&mut self.exact),
                Keeping::Float => Vec::new(),
            },
            match self.keeping {
                Keeping::Exact(_) => Vec::new(),
                Keeping::Float => emit_to.take_needed(&mut self.float),
            },
            emit_to.take_needed(&mut self.counts),
        )
    }

    fn finish(&mut self, emit_to: EmitTo) -> DfResult<ArrayRef> {
        let kind = self.kind;
        let (exact, float, counts) = self.take(emit_to);
        // The total of nothing is NULL.
        let exact_value = |(total, count): (i256, i64)| -> Result<Option<i128>, Fault> {
            match (count, kind) {
                (0, _) => Ok(None),
                (_, Kind::Sum) => fit(total).map(Some),
                (count, Kind::Average) => {
                    fit(round_half_up(total, i256::from_i128(i128::from(count)))).map(Some)
                }
            }
        };
        let float_value = |(total, count): (f64, i64)| match (count, kind) {
            (0, _) => None,
            (_, Kind::Sum) => Some(total),
            (count, Kind::Average) => Some(total / count as f64),
        };
        Ok(match &self.returns {
            DataType::Decimal128(p, s) => {
                let values = exact
                    .into_iter()
                    .zip(counts)
                    .map(exact_value)
                    .collect::<Result<Decimal128Array, Fault>>()?;
                Arc::new(values.with_precision_and_scale(*p, *s)?)
            }
            DataType::Int64 => {
                let values = exact
                    .into_iter()
                    .zip(counts)
                    .map(
                        |pair| match exact_value(pair).map_err(|_| bigint_overflow())? {
                            None => Ok(None),
                            Some(v) => i64::try_from(v).map(Some).map_err(|_| bigint_overflow()),
                        },
                    )
                    .collect::<Result<Int64Array, Fault>>()?;
                Arc::new(values)
            }
            DataType::Float32 => Arc::new(
                float
                    .into_iter()
                    .zip(counts)
                    .map(|pair| float_value(pair).map(|v| v as f32))
                    .collect::<Float32Array>(),
            ),
            _ => Arc::new(
                float
                    .into_iter()
                    .zip(counts)
                    .map(float_value)
                    .collect::<Float64Array>(),
            ),
        })
    }

    fn states(&mut self, emit_to: EmitTo) -> DfResult<Vec<ArrayRef>> {
        let (exact, float, counts) = self.take(emit_to);
        let totals: ArrayRef = match self.keeping {
            Keeping::Exact(s) => Arc::new(
                Decimal256Array::from_iter_values(exact)
                    .with_precision_and_scale(TOTAL_DIGITS, s)?,
            ),
            Keeping::Float => Arc::new(Float64Array::from(float)),
        };
        Ok(vec![totals, Arc::new(Int64Array::from(counts))])
    }
}

fn bigint_overflow() -> Fault {
    Fault::user("NUMERIC_VALUE_OUT_OF_RANGE", "bigint addition overflow")
}

impl GroupsAccumulator for Totals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> DfResult<()> {
        self.grow(total_num_groups);
        self.add(&values[0], |row| group_indices[row], opt_filter)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> DfResult<ArrayRef> {
        self.finish(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> DfResult<Vec<ArrayRef>> {
        self.states(emit_to)
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> DfResult<()> {
        self.grow(total_num_groups);
        self.merge(values, |row| group_indices[row]);
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        opt_filter: Option<&BooleanArray>,
    ) -> DfResult<Vec<ArrayRef>> {
        let rows = values[0].len();
        let mut each = Totals {
            kind: self.kind,
            keeping: self.keeping,
            returns: self.returns.clone(),
            exact: Vec::new(),
            float: Vec::new(),
            counts: Vec::new(),
        };
        each.grow(rows);
        each.add(&values[0], |row| row, opt_filter)?;
        each.states(EmitTo::All)
    }

    fn size(&self) -> usize {
        size_of::<Self>()
            + self.exact.capacity() * size_of::<i256>()
            + self.float.capacity() * size_of::<f64>()
            + self.counts.capacity() * size_of::<i64>()
    }
}

/// One total.
#[derive(Debug)]
struct Single(Totals);

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        self.0.grow(1);
        self.0.add(&values[0], |_| 0, None)
    }

    fn evaluate(&mut self) -> DfResult<ScalarValue> {
        self.0.grow(1);
        // A window asks again and again: the total must stay.
        let kept = (
            self.0.exact.clone(),
            self.0.float.clone(),
            self.0.counts.clone(),
        );
        let array = self.0.finish(EmitTo::All);
        (self.0.exact, self.0.float, self.0.counts) = kept;
        ScalarValue::try_from_array(&array?, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> DfResult<Vec<ScalarValue>> {
        self.0.grow(1);
        self.0
            .states(EmitTo::All)?
            .iter()
            .map(|array| ScalarValue::try_from_array(array, 0))
            .collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> DfResult<()> {
        self.0.grow(1);
        self.0.merge(states, |_| 0);
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> DfResult<()> {
        let mut gone = Totals {
            kind: self.0.kind,
            keeping: self.0.keeping,
            returns: self.0.returns.clone(),
            exact: Vec::new(),
            float: Vec::new(),
            counts: Vec::new(),
        };
        gone.grow(1);
        gone.add(&values[0], |_| 0, None)?;
        self.0.grow(1);
        self.0.counts[0] -= gone.counts[0];
        match self.0.keeping {
            Keeping::Exact(_) => self.0.exact[0] = self.0.exact[0].wrapping_sub(gone.exact[0]),
            Keeping::Float => self.0.float[0] -= gone.float[0],
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        // Doubles would keep the rounding of what has left the frame.
        matches!(self.0.keeping, Keeping::Exact(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(kind: Kind, keeping: Keeping, returns: DataType) -> Totals {
        Totals {
            kind,
            keeping,
            returns,
            exact: Vec::new(),
            float: Vec::new(),
            counts: Vec::new(),
        }
    }

    fn decimals(values: &[Option<i128>], p: u8, s: i8) -> ArrayRef {
        Arc::new(
            Decimal128Array::from(values.to_vec())
                .with_precision_and_scale(p, s)
                .unwrap(),
        )
    }

    #[test]
    fn bigint_sum_overflows_instead_of_wrapping() {
        let mut sum = Single(totals(Kind::Sum, Keeping::Exact(0), DataType::Int64));
        let values: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
        sum.update_batch(std::slice::from_ref(&values)).unwrap();
        let error = Fault::from(sum.evaluate().unwrap_err());
        assert_eq!(
            error.message,
            "NUMERIC_VALUE_OUT_OF_RANGE: bigint addition overflow"
        );
        // What leaves a window's frame makes room again.
        let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        sum.retract_batch(&[one]).unwrap();
        assert_eq!(sum.evaluate().unwrap(), ScalarValue::from(i64::MAX));
    }

    #[test]
    fn decimal_average_keeps_the_type_and_rounds_half_up() {
        let returns = DataType::Decimal128(18, 9);
        let mut average = totals(Kind::Average, Keeping::Exact(9), returns);
        let values = decimals(&[Some(1), Some(2), None, Some(-1), Some(-2)], 18, 9);
        average
            .update_batch(&[values], &[0, 0, 0, 1, 1], None, 3)
            .unwrap();
        let result = average.evaluate(EmitTo::All).unwrap();
        let result = result.as_primitive::<Decimal128Type>();
        assert_eq!((result.value(0), result.value(1)), (2, -2));
        assert!(result.is_null(2), "the average of nothing is NULL");
    }

    #[test]
    fn decimal_sum_beyond_38_digits_is_an_error() {
        let max = super::super::arithmetic::MAX_DECIMAL;
        let mut sum = Single(totals(
            Kind::Sum,
            Keeping::Exact(0),
            DataType::Decimal128(38, 0),
        ));
        sum.update_batch(&[decimals(&[Some(max), Some(1)], 38, 0)])
            .unwrap();
        assert_eq!(
            Fault::from(sum.evaluate().unwrap_err()).message,
            "NUMERIC_VALUE_OUT_OF_RANGE: Decimal overflow"
        );
        sum.update_batch(&[decimals(&[Some(-1)], 38, 0)]).unwrap();
        assert_eq!(
            sum.evaluate().unwrap(),
            ScalarValue::Decimal128(Some(max), 38, 0)
        );
    }

    #[test]
    fn partial_states_merge_to_the_same_total() {
        let of = || totals(Kind::Sum, Keeping::Exact(9), DataType::Decimal128(38, 9));
        let mut first = of();
        let values = decimals(&[Some(10), Some(20), Some(30)], 18, 9);
        let keep = BooleanArray::from(vec![true, false, true]);
        first
            .update_batch(std::slice::from_ref(&values), &[0, 1, 1], Some(&keep), 2)
            .unwrap();
        let states = first.state(EmitTo::All).unwrap();
        let mut second = of();
        second.merge_batch(&states, &[1, 0], 2).unwrap();
        let rows = second.convert_to_state(&[values], None).unwrap();
        second.merge_batch(&rows, &[0, 0, 1], 2).unwrap();
        let result = second.evaluate(EmitTo::All).unwrap();
        let result = result.as_primitive::<Decimal128Type>();
        assert_eq!((result.value(0), result.value(1)), (60, 40));
    }
}
