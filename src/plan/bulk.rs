//! Deletions in bulk: `kubectl delete crd` must not take every role down.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// Deletions that were asked for within this time of each other count as one batch.
pub const BATCH_WINDOW: SignedDuration = SignedDuration::from_secs(60);

/// How many deletions, its own included, were asked for within [`BATCH_WINDOW`] of `mine`. `others`
/// are the times of all the others that are known.
#[must_use]
pub fn batch_size(mine: Timestamp, others: impl IntoIterator<Item = Timestamp>) -> usize {
    let near = |other: &Timestamp| other.duration_since(mine).abs() <= BATCH_WINDOW;
    1 + others.into_iter().filter(near).count()
}

/// Whether a deletion waits: its batch is larger than `limit`, and nobody has confirmed a batch of
/// that size. `confirmed` is the value of the annotation. A limit of 0 means that none waits.
#[must_use]
pub fn waits_for_confirmation(size: usize, limit: usize, confirmed: Option<&str>) -> bool {
    limit > 0 && size > limit && confirmed_number(confirmed) < size
}

/// What somebody says to it that accounts are cleared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consent {
    /// They are so few that nobody is asked.
    NotNeeded,
    /// The word is theirs, and is used up by it.
    Given,
    /// They wait for a word.
    Missing,
}

/// Whether accounts that are no longer targets may be cleared: at most a tenth of all, or one, unless
/// somebody has confirmed the number. `word` is the value of the annotation, which counts for one removal:
/// the one that was last given and is used up confirms nothing.
#[must_use]
pub fn consent(total: usize, leaving: usize, word: Option<&str>, used_up: Option<&str>) -> Consent {
    if leaving <= (total / 10).max(1) {
        Consent::NotNeeded
    } else if word != used_up && confirmed_number(word) >= leaving {
        Consent::Given
    } else {
        Consent::Missing
    }
}

/// The same, where it does not matter why.
#[must_use]
pub fn may_remove(total: usize, leaving: usize, word: Option<&str>, used_up: Option<&str>) -> bool {
    consent(total, leaving, word, used_up) != Consent::Missing
}

/// The word that confirms the removal of a number of accounts: the number, with a suffix if the same word
/// is used up.
#[must_use]
pub fn removal_word(leaving: usize, used_up: Option<&str>) -> String {
    match used_up.map(parts) {
        Some((Some(number), suffix)) if number == leaving => {
            format!("{leaving}-{}", suffix.parse().unwrap_or(1_u32).saturating_add(1))
        }
        _ => leaving.to_string(),
    }
}

fn confirmed_number(word: Option<&str>) -> usize {
    word.and_then(|word| parts(word).0).unwrap_or_default()
}

fn parts(word: &str) -> (Option<usize>, &str) {
    let (number, suffix) = word.trim().split_once('-').unwrap_or((word.trim(), ""));
    (number.parse().ok(), suffix)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_what_was_asked_for_within_a_minute() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(batch_size(at(1000), [at(940), at(1000), at(1060), at(939), at(1061)]), 4);
        assert_eq!(batch_size(at(1000), []), 1);
    }

    #[test]
    fn a_large_batch_waits_until_its_size_is_confirmed() {
        assert!(!waits_for_confirmation(10, 10, None));
        assert!(waits_for_confirmation(11, 10, None));
        assert!(waits_for_confirmation(11, 10, Some("10")));
        assert!(waits_for_confirmation(11, 10, Some("yes")));
        assert!(!waits_for_confirmation(11, 10, Some("11")));
        assert!(!waits_for_confirmation(1000, 0, None));
    }

    #[test]
    fn a_tenth_of_the_accounts_may_go_at_once_and_more_with_a_word() {
        assert!(may_remove(1, 1, None, None));
        assert!(may_remove(20, 2, None, None));
        assert!(!may_remove(20, 3, None, None));
        assert!(!may_remove(20, 3, Some("2"), None));
        assert!(may_remove(20, 3, Some("3"), None));
        assert!(may_remove(20, 0, None, None));
    }

    #[test]
    fn a_word_for_removals_counts_once() {
        assert!(!may_remove(20, 3, Some("3"), Some("3")));
        assert!(may_remove(20, 2, Some("3"), Some("3")));
        assert!(may_remove(20, 3, Some("3-2"), Some("3")));
        assert!(!may_remove(20, 4, Some("3-2"), Some("3")));
        assert!(!may_remove(20, 3, Some("yes-3"), None));
        let words = [(None, "3"), (Some("4"), "3"), (Some("yes"), "3"), (Some("3"), "3-2"), (Some("3-2"), "3-3")];
        for (used_up, wanted) in words {
            let word = removal_word(3, used_up);
            assert_eq!(word, wanted);
            assert!(may_remove(20, 3, Some(&word), used_up));
        }
    }
}
