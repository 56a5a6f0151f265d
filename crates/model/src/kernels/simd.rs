//! Vector arithmetic on slices, on whatever vector unit the machine has.
//!
//! Kernels are structs that implement [`pulp::WithSimd`] and are run by [`run`], which picks the widest instruction set
//! at run time; the functions here are the parts they share. All must be inlined into the kernel to be compiled for
//! its instruction set.

use pulp::{Arch, Simd, WithSimd};

/// Runs a kernel with the widest vectors of this machine.
#[inline]
pub(super) fn run<K: WithSimd>(kernel: K) -> K::Output {
    Arch::new().dispatch(kernel)
}

/// No vector is longer.
const MAX_LANES: usize = 16;

/// Arguments below this have an exponential of 0; e^-87 is just above the smallest normal number.
const EXP_MIN: f32 = -87.0;

/// Arguments above this are taken as this; e^88.37 is 2^127.5.
const EXP_MAX: f32 = 88.37;

/// e^x with a relative error below 2e-7; 0 below -87 (also for -inf), at least 2.3e38 above 88.37, NaN for NaN.
///
/// `x = n ln 2 + r` with an integer n and |r| <= ln 2 / 2; e^r by the polynomial of the Cephes library (S. Moshier),
/// the factor 2^n by adding n to the exponent bits.
#[inline(always)]
pub(super) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Adding 1.5 * 2^23 leaves the rounded integer in the low bits of the sum.
    let magic = simd.splat_f32s(12_582_912.0);
    // The argument stands second because the minimum of x86 is its second argument where one is NaN.
    let clamped = simd.min_f32s(simd.splat_f32s(EXP_MAX), x);
    let sum = simd.mul_add_e_f32s(clamped, simd.splat_f32s(std::f32::consts::LOG2_E), magic);
    let n = simd.sub_f32s(sum, magic);
    let r = simd.negate_mul_add_e_f32s(n, simd.splat_f32s(0.693_359_4), clamped);
    let r = simd.negate_mul_add_e_f32s(n, simd.splat_f32s(-2.121_944_4e-4), r);
    let mut p = simd.splat_f32s(1.987_569_1e-4);
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1, 1.0, 1.0] {
        p = simd.mul_add_e_f32s(p, r, simd.splat_f32s(coefficient));
    }
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(sum), simd.splat_u32s(23));
    let scaled = simd.add_u32s(simd.transmute_u32s_f32s(p), exponent);
    let tiny = simd.less_than_f32s(x, simd.splat_f32s(EXP_MIN));
    simd.transmute_f32s_u32s(simd.select_u32s(tiny, simd.splat_u32s(0), scaled))
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(super) fn sigmoid<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    simd.div_f32s(one, simd.add_f32s(one, exp(simd, simd.neg_f32s(x))))
}

/// The sum of the products of two slices of one length.
#[inline(always)]
pub(super) fn dot<S: Simd>(simd: S, a: &[f32], b: &[f32]) -> f32 {
    let (a, a_tail) = S::as_simd_f32s(a);
    let (b, b_tail) = S::as_simd_f32s(b);
    let mut sums = [simd.splat_f32s(0.0); 4];
    let (a, a_rest) = a.as_chunks::<4>();
    let (b, b_rest) = b.as_chunks::<4>();
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum = simd.mul_add_e_f32s(*a, *b, *sum);
        }
    }
    for (a, b) in a_rest.iter().zip(b_rest) {
        sums[0] = simd.mul_add_e_f32s(*a, *b, sums[0]);
    }
    if !a_tail.is_empty() {
        let (a, b) = (simd.partial_load_f32s(a_tail), simd.partial_load_f32s(b_tail));
        sums[1] = simd.mul_add_e_f32s(a, b, sums[1]);
    }
    let [a, b, c, d] = sums;
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)))
}

/// The sum of the values.
#[inline(always)]
pub(super) fn sum<S: Simd>(simd: S, values: &[f32]) -> f32 {
    let (vectors, tail) = S::as_simd_f32s(values);
    let mut sum = if tail.is_empty() { simd.splat_f32s(0.0) } else { simd.partial_load_f32s(tail) };
    for x in vectors {
        sum = simd.add_f32s(sum, *x);
    }
    simd.reduce_sum_f32s(sum)
}

/// The sum of `exp(value - offset)`.
#[inline(always)]
pub(super) fn sum_exp<S: Simd>(simd: S, values: &[f32], offset: f32) -> f32 {
    let offset = simd.splat_f32s(offset);
    let (vectors, tail) = S::as_simd_f32s(values);
    let mut sum = simd.splat_f32s(0.0);
    for x in vectors {
        sum = simd.add_f32s(sum, exp(simd, simd.sub_f32s(*x, offset)));
    }
    if !tail.is_empty() {
        let mut last = [f32::NEG_INFINITY; MAX_LANES];
        last[..tail.len()].copy_from_slice(tail);
        sum = simd.add_f32s(sum, exp(simd, simd.sub_f32s(S::as_simd_f32s(&last).0[0], offset)));
    }
    simd.reduce_sum_f32s(sum)
}

/// The largest value, -inf for none. Whether a NaN is found depends on its place.
#[inline(always)]
pub(super) fn largest<S: Simd>(simd: S, values: &[f32]) -> f32 {
    let (vectors, tail) = S::as_simd_f32s(values);
    let mut largest = simd.splat_f32s(f32::NEG_INFINITY);
    for x in vectors {
        largest = simd.max_f32s(largest, *x);
    }
    tail.iter().fold(simd.reduce_max_f32s(largest), |max, x| max.max(*x))
}

/// `out = f(inputs)`, vector by vector; all slices have one length. What `f` gives for zeros is never stored.
#[inline(always)]
pub(super) fn map<S: Simd, const N: usize>(
    simd: S,
    out: &mut [f32],
    inputs: [&[f32]; N],
    f: impl Fn([S::f32s; N]) -> S::f32s,
) {
    update(
        simd,
        out,
        inputs,
        #[inline(always)]
        |_, inputs| f(inputs),
    );
}

/// `out = f(out, inputs)`, vector by vector; all slices have one length. What `f` gives for zeros is never stored.
#[inline(always)]
pub(super) fn update<S: Simd, const N: usize>(
    simd: S,
    out: &mut [f32],
    inputs: [&[f32]; N],
    f: impl Fn(S::f32s, [S::f32s; N]) -> S::f32s,
) {
    let length = out.len();
    let (out, out_tail) = S::as_mut_simd_f32s(out);
    let (vectors, tails) = split::<S, N>(inputs, length);
    let vectors = vectors.map(|vectors| &vectors[..out.len()]);
    for (i, out) in out.iter_mut().enumerate() {
        *out = f(*out, at::<S, N>(simd, vectors, i));
    }
    if !out_tail.is_empty() {
        let last = f(simd.partial_load_f32s(out_tail), load::<S, N>(simd, tails));
        simd.partial_store_f32s(out_tail, last);
    }
}

/// `outs = f(outs, inputs)` for two outputs, vector by vector; all slices have one length.
#[inline(always)]
pub(super) fn update_two<S: Simd, const N: usize>(
    simd: S,
    [a, b]: [&mut [f32]; 2],
    inputs: [&[f32]; N],
    f: impl Fn([S::f32s; 2], [S::f32s; N]) -> [S::f32s; 2],
) {
    let length = a.len();
    let (a, a_tail) = S::as_mut_simd_f32s(a);
    let (b, b_tail) = S::as_mut_simd_f32s(b);
    let (vectors, tails) = split::<S, N>(inputs, length);
    let vectors = vectors.map(|vectors| &vectors[..a.len()]);
    for (i, (a, b)) in a.iter_mut().zip(b).enumerate() {
        [*a, *b] = f([*a, *b], at::<S, N>(simd, vectors, i));
    }
    if !a_tail.is_empty() {
        let outs = [simd.partial_load_f32s(a_tail), simd.partial_load_f32s(b_tail)];
        let [last_a, last_b] = f(outs, load::<S, N>(simd, tails));
        simd.partial_store_f32s(a_tail, last_a);
        simd.partial_store_f32s(b_tail, last_b);
    }
}

// Vectors go through loops below, not through `array::map`: its closure is not always inlined, and a vector then goes
// through memory.

/// Whole vectors and what is behind them.
#[inline(always)]
fn split<S: Simd, const N: usize>(inputs: [&[f32]; N], length: usize) -> ([&[S::f32s]; N], [&[f32]; N]) {
    let (mut vectors, mut tails) = ([[].as_slice(); N], [[].as_slice(); N]);
    for i in 0..N {
        (vectors[i], tails[i]) = S::as_simd_f32s(&inputs[i][..length]);
    }
    (vectors, tails)
}

/// One vector of each slice.
#[inline(always)]
fn at<S: Simd, const N: usize>(simd: S, vectors: [&[S::f32s]; N], index: usize) -> [S::f32s; N] {
    let mut found = [simd.splat_f32s(0.0); N];
    for i in 0..N {
        found[i] = vectors[i][index];
    }
    found
}

/// Slices shorter than a vector, with zeros behind them.
#[inline(always)]
fn load<S: Simd, const N: usize>(simd: S, tails: [&[f32]; N]) -> [S::f32s; N] {
    let mut found = [simd.splat_f32s(0.0); N];
    for i in 0..N {
        found[i] = simd.partial_load_f32s(tails[i]);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Apply<'a>(&'a mut [f32], Function);

    #[derive(Clone, Copy)]
    enum Function {
        Exp,
        Sigmoid,
    }

    impl WithSimd for Apply<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let Apply(values, function) = self;
            update(simd, values, [], |x, []| match function {
                Function::Exp => exp(simd, x),
                Function::Sigmoid => sigmoid(simd, x),
            });
        }
    }

    fn apply(function: Function, mut values: Vec<f32>) -> Vec<f32> {
        run(Apply(&mut values, function));
        values
    }

    #[test]
    fn exp_is_within_two_ten_millionths_over_its_range() {
        let arguments: Vec<f32> = (0..1_000_003).map(|i| -87.0 + 175.3 * i as f32 / 1_000_002.0).collect();
        let found = apply(Function::Exp, arguments.clone());
        for (x, found) in arguments.into_iter().zip(found) {
            let expected = f64::from(x).exp();
            let error = (f64::from(found) - expected).abs() / expected;
            assert!(error < 2e-7, "exp({x}) is {found}, relative error {error:e}");
        }
    }

    #[test]
    fn exp_of_the_extremes_is_zero_large_or_nan() {
        let found = apply(Function::Exp, vec![f32::NEG_INFINITY, -1e30, -87.1, 0.0, 1e30, f32::INFINITY, f32::NAN]);
        assert_eq!(found[..4], [0.0, 0.0, 0.0, 1.0]);
        assert!(found[4] > 2e38 && found[5] > 2e38 && found[6].is_nan(), "{found:?}");
    }

    #[test]
    fn sigmoid_saturates_without_nan() {
        let found = apply(Function::Sigmoid, vec![f32::NEG_INFINITY, -200.0, -3.0, 0.0, 3.0, 200.0, f32::INFINITY]);
        let expected = [0.0, 0.0, 0.047_425_874, 0.5, 0.952_574_1, 1.0, 1.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-7, "{found} instead of {expected}");
        }
    }

    #[test]
    fn dot_of_every_length_is_the_sum_of_products() {
        struct Dot<'a>(&'a [f32], &'a [f32]);
        impl WithSimd for Dot<'_> {
            type Output = f32;
            #[inline(always)]
            fn with_simd<S: Simd>(self, simd: S) -> f32 {
                dot(simd, self.0, self.1)
            }
        }
        for length in 0..150 {
            let a: Vec<f32> = (0..length).map(|i| (i % 7) as f32 - 3.0).collect();
            let b: Vec<f32> = (0..length).map(|i| (i % 5) as f32 - 1.0).collect();
            let expected: f32 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            assert_eq!(run(Dot(&a, &b)), expected, "length {length}");
        }
    }
}
