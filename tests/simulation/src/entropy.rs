//! Chance that the seed decides. The standard library, the SDK and the runtime draw keys of hash maps, jitter
//! and the like from the operating system, and with them the order of much that they do; here they get a
//! sequence that the seed gives. It protects nothing.

use std::sync::atomic::{AtomicU64, Ordering};

static STATE: AtomicU64 = AtomicU64::new(0);

/// Starts the sequence. It has to be called before anything draws from it, so once in a process.
pub fn begin(seed: u64) {
    STATE.store(seed, Ordering::SeqCst);
    fastrand::seed(seed);
}

/// The next number: `SplitMix64` (<https://prng.di.unimi.it/splitmix64.c>).
fn next() -> u64 {
    let state = STATE.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst).wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Takes the place of the C library's function of this name.
///
/// # Safety
/// As of the C library's: `buffer` has room for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: u32) -> isize {
    for index in 0..length {
        // SAFETY: the caller vouches for the room.
        unsafe { buffer.add(index).write(next().to_le_bytes()[0]) };
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}
