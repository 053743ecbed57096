//! Vectors of eight blocks: 16-bit words, 32-bit sums, and the few operations of the transforms.
//!
//! On `x86_64` each is an instruction of SSE2, which every such CPU has; elsewhere a loop, which the compiler may turn
//! into one. Loads and stores go through numbers, so that nothing is unsafe: the compiler makes one move of them.

/// Blocks that are transformed together.
pub(super) const LANES: usize = 8;

#[cfg(target_arch = "x86_64")]
pub(super) use self::sse2::{Sums, Words};

#[cfg(not(target_arch = "x86_64"))]
pub(super) use self::portable::{Sums, Words};

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi16, _mm_add_epi32, _mm_cvtsi32_si128, _mm_cvtsi128_si64, _mm_madd_epi16, _mm_mullo_epi16,
        _mm_packs_epi16, _mm_packs_epi32, _mm_set1_epi8, _mm_set1_epi16, _mm_set1_epi32, _mm_setr_epi16,
        _mm_setzero_si128, _mm_sll_epi32, _mm_sra_epi32, _mm_sub_epi16, _mm_sub_epi32, _mm_unpackhi_epi8,
        _mm_unpackhi_epi16, _mm_unpackhi_epi32, _mm_unpackhi_epi64, _mm_unpacklo_epi8, _mm_unpacklo_epi16,
        _mm_unpacklo_epi32, _mm_xor_si128,
    };

    use super::LANES;

    /// A 16-bit number of each block.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Words(__m128i);

    /// A 32-bit number of each block, four in each half.
    #[derive(Clone, Copy)]
    pub(in super::super) struct Sums(__m128i, __m128i);

    impl Words {
        #[inline]
        #[target_feature(enable = "sse2")]
        pub(in super::super) fn zero() -> Self {
            Self(_mm_setzero_si128())
        }

        #[inline]
        #[target_feature(enable = "sse2")]
        pub(in super::super) fn new(words: &[i16; LANES]) -> Self {
            let [a, b, c, d, e, f, g, h] = *words;
            Self(_mm_setr_epi16(a, b, c, d, e, f, g, h))
        }

        /// The low 16 bits of the products.
        #[inline]
        #[target_feature(enable = "sse2")]
        pub(in super::super) fn times(self, factor: i16) -> Self {
            Self(_mm_mullo_epi16(self.0, _mm_set1_epi16(factor)))
        }

        #[inline]
        #[target_feature(enable = "sse2")]
        pub(in super::super) fn plus(self, other: Self) -> Self {
            Self(_mm_add_epi16(self.0, other.0))
        }

        #[inline]
        #[target_feature(enable = "sse2")]
        pub(in super::super) fn minus(self, other: Self) -> Self {
            Self(_mm_sub_epi16(self.0, other.0))
        }

        /// `self << bits` in 32 bits.
        #[inline]
        #[target_feature(enable = "sse2")]
        pub(in super::super) fn shifted(self, bits: i32) -> Sums {
            let (zero, right) = (_mm_setzero_si128(), _mm_cvtsi32_si128(16 - bits));
            let wide = |high| _mm_sra_epi32(high, right);
            Sums(wide(_mm_unpacklo_epi16(zero, self.0)), wide(_mm_unpackhi_epi16(zero, self.0)))
        }

        /// `self * factors[0] + other * factors[1]`.
        #[inline]
        #[target_feature(enable = "sse2")]
        pub(in super::super) fn dot(self, other: Self, factors: [i16; 2]) -> Sums {
            let [a, b] = factors.map(|factor| i32::from(factor.cast_unsigned()));
            let factors = _mm_set1_epi32(a | b << 16);
            Sums(
                _mm_madd_epi16(_mm_unpacklo_epi16(self.0, other.0), factors),
                _mm_madd_epi16(_mm_unpackhi_epi16(self.0, other.0), factors),
            )
        }
    }

    impl Sums {
        #[inline]
        #[target_feature(enable = "sse2")]
        pub(in super::super) fn plus(self, other: Self) -> Self {
            Self(_mm_add_epi32(self.0, other.0), _mm_add_epi32(self.1, other.1))
        }

        #[inline]
        #[target_feature(enable = "sse2")]
        pub(in super::super) fn minus(self, other: Self) -> Self {
            Self(_mm_sub_epi32(self.0, other.0), _mm_sub_epi32(self.1, other.1))
        }

        #[inline]
        #[target_feature(enable = "sse2")]
        pub(in super::super) fn shifted(self, bits: i32) -> Self {
            let bits = _mm_cvtsi32_si128(bits);
            Self(_mm_sll_epi32(self.0, bits), _mm_sll_epi32(self.1, bits))
        }

        /// Rounds `bits` away.
        #[inline]
        #[target_feature(enable = "sse2")]
        pub(in super::super) fn descaled(self, bits: i32) -> Self {
            let (half, bits) = (_mm_set1_epi32(1 << (bits - 1)), _mm_cvtsi32_si128(bits));
            let descaled = |sums| _mm_sra_epi32(_mm_add_epi32(sums, half), bits);
            Self(descaled(self.0), descaled(self.1))
        }

        /// Clipped to 16 bits.
        #[inline]
        #[target_feature(enable = "sse2")]
        pub(in super::super) fn saturated(self) -> Words {
            Words(_mm_packs_epi32(self.0, self.1))
        }
    }

    /// The samples of eight blocks, which are signed, beside each other: column by column to block by block.
    #[inline]
    #[target_feature(enable = "sse2")]
    fn samples(low: Words, high: Words) -> __m128i {
        _mm_xor_si128(_mm_packs_epi16(low.0, high.0), _mm_set1_epi8(-128))
    }

    #[inline]
    #[target_feature(enable = "sse2")]
    fn put(vectors: &[__m128i], out: &mut [u8]) {
        for (vector, bytes) in vectors.iter().zip(out.as_chunks_mut::<16>().0) {
            let (low, high) = (_mm_cvtsi128_si64(*vector), _mm_cvtsi128_si64(_mm_unpackhi_epi64(*vector, *vector)));
            let (first, last) = bytes.split_at_mut(8);
            first.copy_from_slice(&low.to_le_bytes());
            last.copy_from_slice(&high.to_le_bytes());
        }
    }

    /// A row of eight blocks of two samples each.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(in super::super) fn put_2([a, b]: [Words; 2], out: &mut [u8]) {
        let columns = samples(a, b);
        put(&[_mm_unpacklo_epi8(columns, _mm_unpackhi_epi64(columns, columns))], out);
    }

    /// A row of eight blocks of four samples each.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(in super::super) fn put_4([a, b, c, d]: [Words; 4], out: &mut [u8]) {
        let (even, odd) = (samples(a, c), samples(b, d));
        let (ab, cd) = (_mm_unpacklo_epi8(even, odd), _mm_unpackhi_epi8(even, odd));
        put(&[_mm_unpacklo_epi16(ab, cd), _mm_unpackhi_epi16(ab, cd)], out);
    }

    /// A row of eight blocks of eight samples each.
    #[inline]
    #[target_feature(enable = "sse2")]
    pub(in super::super) fn put_8([a, b, c, d, e, f, g, h]: [Words; 8], out: &mut [u8]) {
        let (ac, bd, eg, fh) = (samples(a, c), samples(b, d), samples(e, g), samples(f, h));
        let (ab, cd) = (_mm_unpacklo_epi8(ac, bd), _mm_unpackhi_epi8(ac, bd));
        let (ef, gh) = (_mm_unpacklo_epi8(eg, fh), _mm_unpackhi_epi8(eg, fh));
        let (abcd, efgh) = (_mm_unpacklo_epi16(ab, cd), _mm_unpacklo_epi16(ef, gh));
        let (abcd_high, efgh_high) = (_mm_unpackhi_epi16(ab, cd), _mm_unpackhi_epi16(ef, gh));
        put(
            &[
                _mm_unpacklo_epi32(abcd, efgh),
                _mm_unpackhi_epi32(abcd, efgh),
                _mm_unpacklo_epi32(abcd_high, efgh_high),
                _mm_unpackhi_epi32(abcd_high, efgh_high),
            ],
            out,
        );
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use self::sse2::{put_2, put_4, put_8};

#[cfg(not(target_arch = "x86_64"))]
pub(super) use self::portable::{put_2, put_4, put_8};

/// The same on any CPU.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use std::array::from_fn;

    use super::LANES;

    #[derive(Clone, Copy)]
    pub(in super::super) struct Words([i16; LANES]);

    #[derive(Clone, Copy)]
    pub(in super::super) struct Sums([i32; LANES]);

    impl Words {
        #[inline(always)]
        pub(in super::super) fn zero() -> Self {
            Self([0; LANES])
        }

        #[inline(always)]
        pub(in super::super) fn new(words: &[i16; LANES]) -> Self {
            Self(*words)
        }

        #[inline(always)]
        pub(in super::super) fn times(self, factor: i16) -> Self {
            Self(self.0.map(|word| word.wrapping_mul(factor)))
        }

        #[inline(always)]
        pub(in super::super) fn plus(self, other: Self) -> Self {
            Self(from_fn(|lane| self.0[lane].wrapping_add(other.0[lane])))
        }

        #[inline(always)]
        pub(in super::super) fn minus(self, other: Self) -> Self {
            Self(from_fn(|lane| self.0[lane].wrapping_sub(other.0[lane])))
        }

        #[inline(always)]
        pub(in super::super) fn shifted(self, bits: i32) -> Sums {
            Sums(self.0.map(|word| i32::from(word) << bits))
        }

        #[inline(always)]
        pub(in super::super) fn dot(self, other: Self, factors: [i16; 2]) -> Sums {
            let [a, b] = factors.map(i32::from);
            Sums(from_fn(|lane| (i32::from(self.0[lane]) * a).wrapping_add(i32::from(other.0[lane]) * b)))
        }
    }

    impl Sums {
        #[inline(always)]
        pub(in super::super) fn plus(self, other: Self) -> Self {
            Self(from_fn(|lane| self.0[lane].wrapping_add(other.0[lane])))
        }

        #[inline(always)]
        pub(in super::super) fn minus(self, other: Self) -> Self {
            Self(from_fn(|lane| self.0[lane].wrapping_sub(other.0[lane])))
        }

        #[inline(always)]
        pub(in super::super) fn shifted(self, bits: i32) -> Self {
            Self(self.0.map(|sum| sum << bits))
        }

        #[inline(always)]
        pub(in super::super) fn descaled(self, bits: i32) -> Self {
            Self(self.0.map(|sum| sum.wrapping_add(1 << (bits - 1)) >> bits))
        }

        #[inline(always)]
        pub(in super::super) fn saturated(self) -> Words {
            Words(self.0.map(|sum| sum.clamp(i16::MIN.into(), i16::MAX.into()) as i16))
        }
    }

    #[inline(always)]
    fn put<const N: usize>(columns: [Words; N], out: &mut [u8]) {
        for (lane, block) in out.as_chunks_mut::<N>().0.iter_mut().enumerate().take(LANES) {
            for (byte, column) in block.iter_mut().zip(&columns) {
                *byte = (i32::from(column.0[lane]) + 128).clamp(0, 255) as u8;
            }
        }
    }

    #[inline(always)]
    pub(in super::super) fn put_2(columns: [Words; 2], out: &mut [u8]) {
        put(columns, out);
    }

    #[inline(always)]
    pub(in super::super) fn put_4(columns: [Words; 4], out: &mut [u8]) {
        put(columns, out);
    }

    #[inline(always)]
    pub(in super::super) fn put_8(columns: [Words; 8], out: &mut [u8]) {
        put(columns, out);
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use fastrand::Rng;

    use super::LANES;

    /// Every operation on random numbers, as bytes: what is added here is tested in both.
    macro_rules! everything {
        ($lanes:ident, $a:expr, $b:expr, $factors:expr) => {{
            use super::$lanes::{Words, put_2, put_4, put_8};
            let (a, b) = (Words::new($a), Words::new($b));
            let mut bytes = [[0; 8 * LANES]; 3];
            let sums = a.dot(b, $factors).plus(b.shifted(13)).minus(a.shifted(15));
            let words = [
                a.plus(b),
                a.minus(b),
                a.times($factors[0]),
                Words::zero().minus(b),
                sums.descaled(11).saturated(),
                sums.descaled(18).saturated(),
                sums.shifted(2).saturated(),
                a.dot(b, $factors).descaled(7).saturated(),
            ];
            let [c, d, e, f, ..] = words;
            put_2([c, d], &mut bytes[0]);
            put_4([c, d, e, f], &mut bytes[1]);
            put_8(words, &mut bytes[2]);
            bytes
        }};
    }

    #[target_feature(enable = "sse2")]
    fn by_sse2(a: &[i16; LANES], b: &[i16; LANES], factors: [i16; 2]) -> [[u8; 8 * LANES]; 3] {
        everything!(sse2, a, b, factors)
    }

    #[test]
    fn both_give_the_same_numbers() {
        let mut rng = Rng::with_seed(11);
        for round in 0..20_000 {
            let limit = 1_i16 << (round % 15);
            let mut words = || std::array::from_fn(|_| rng.i16(-limit..=limit));
            let (a, b) = (words(), words());
            let factors = [rng.i16(-20_995..=29_692), rng.i16(-20_995..=29_692)];
            #[expect(unsafe_code, reason = "a function of SSE2")]
            // SAFETY: every x86_64 has SSE2.
            let sse2 = unsafe { by_sse2(&a, &b, factors) };
            assert_eq!(sse2, everything!(portable, &a, &b, factors), "round {round}");
        }
    }
}
