// SPDX-License-Identifier: GPL-2.0

//! Numbers by chance, the same for the same seed: xoshiro256**, filled by splitmix64.
//!
//! A crate would be larger than what is needed, and might change what a seed means.

/// A source of numbers.
#[derive(Clone, Debug)]
pub struct Rng([u64; 4]);

impl Rng {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        let mut state = seed;
        Self([(); 4].map(|()| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }))
    }

    /// Any number.
    pub fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Any number of 32 bits.
    pub fn word(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).unwrap_or_default()
    }

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX);
        let scaled = (u128::from(self.next()) * u128::from(end)) >> 64;
        usize::try_from(scaled).unwrap_or_default()
    }

    /// A number from `low` to `high`, both of them included.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = usize::try_from(high.saturating_sub(low)).unwrap_or_default();
        let step = self.below(span.saturating_add(1));
        low.saturating_add(i64::try_from(step).unwrap_or_default())
    }

    /// Whether something happens that happens in `part` of `of` cases.
    pub fn chance(&mut self, part: usize, of: usize) -> bool {
        self.below(of) < part
    }

    /// One of several.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> Option<T> {
        from.get(self.below(from.len())).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut rng = Rng::new(1);
        assert_eq!(
            [rng.next(), rng.next()],
            [0xb3f2_af6d_0fc7_10c5, 0x853b_5596_4736_4cea]
        );
    }

    #[test]
    fn numbers_are_in_their_range() {
        let mut rng = Rng::new(7);
        let mut seen = [false; 5];
        for _ in 0..1000 {
            let number = rng.between(-2, 2);
            seen[usize::try_from(number + 2).unwrap()] = true;
            assert!(rng.below(3) < 3);
        }
        assert_eq!(seen, [true; 5]);
        assert_eq!(rng.below(0), 0);
        assert_eq!(rng.pick::<u8>(&[]), None);
    }
}
